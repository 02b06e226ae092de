package simulation

import (
	"fmt"
	"strings"
)

// Counts are what happened in one run, or in many.
type Counts struct {
	Seeds, Events                                                   int
	Operations, Reads, Writes, Done, Absent, Refused, Nothing, Open int
	Faultless, FaultlessOpen                                        int // writes in runs without faults, and unknown outcomes of these
	Looks, Relooks                                                  int // reads after the faults, and those of them that had to be repeated
	Lost                                                            int // writes of which no history tells any more
	Late, HungUp, NoNode                                            int
	Turns, Takeovers, Overdue                                       int
	Conflicts, Settles, Stale, Raises, Fetches, Staged              int
	Repairs, Lessons, DamageMet, Checkpoints, DiskCalls             int
	faults                                                          [faultCount]int
}

func (c *Counts) fault(f fault) { c.faults[f]++ }

// act counts an operation of a client that was told something.
func (c *Counts) act(w *world, a *act) {
	if a.final {
		c.Looks++
		return
	}
	c.Late += count(a.late)
}

// close counts what is known at the end of a run.
func (c *Counts) close(w *world) {
	c.Seeds = 1
	for _, a := range w.history {
		if a.final {
			continue
		}
		c.Operations++
		if a.kind == read {
			c.Reads++
		} else {
			c.Writes++
			if w.p.name == "calm" {
				c.Faultless++
				c.FaultlessOpen += count(a.result == open)
			}
		}
		switch a.result {
		case done:
			c.Done++
		case absent:
			c.Absent++
		case refused:
			c.Refused++
		case nothing:
			c.Nothing++
		case open:
			if a.kind == read {
				c.Nothing++
				continue
			}
			c.Open++
		}
	}
	for _, n := range w.nodes {
		c.DiskCalls += n.disk.Calls()
	}
}

// Add adds another run's.
func (c *Counts) Add(o *Counts) {
	sum := c.fields()
	for i, v := range o.fields() {
		*sum[i] += *v
	}
	for i := range c.faults {
		c.faults[i] += o.faults[i]
	}
}

func (c *Counts) fields() []*int {
	return []*int{
		&c.Seeds, &c.Events, &c.Operations, &c.Reads, &c.Writes, &c.Done, &c.Absent, &c.Refused, &c.Nothing, &c.Open, &c.Faultless,
		&c.FaultlessOpen, &c.Looks, &c.Relooks, &c.Lost, &c.Late, &c.HungUp, &c.NoNode, &c.Turns, &c.Takeovers, &c.Overdue, &c.Conflicts,
		&c.Settles, &c.Stale, &c.Raises, &c.Fetches, &c.Staged, &c.Repairs, &c.Lessons, &c.DamageMet, &c.Checkpoints, &c.DiskCalls,
	}
}

// String says it for people.
func (c *Counts) String() string {
	var b strings.Builder
	share := func(part, of int) string {
		if of == 0 {
			return "none"
		}
		return fmt.Sprintf("%.2f %%", 100*float64(part)/float64(of))
	}
	fmt.Fprintf(&b, "%d seeds, %d operations: %d reads, %d writes\n", c.Seeds, c.Operations, c.Reads, c.Writes)
	fmt.Fprintf(&b, "told: %d done, %d nothing to delete, %d refused, %d nothing happened, %d unknown\n", c.Done, c.Absent, c.Refused, c.Nothing, c.Open)
	fmt.Fprintf(&b, "unknown outcomes of writes: %s with faults, %s without; %d as no history tells any more\n",
		share(c.Open-c.FaultlessOpen, c.Writes-c.Faultless), share(c.FaultlessOpen, c.Faultless), c.Lost)
	fmt.Fprintf(&b, "after the faults: %d reads, all told; %d of them repeated\n", c.Looks, c.Relooks)
	fmt.Fprintf(&b, "coordinators: %d turns, %d of them takeovers, %d overdue, %d conflicts, %d settled, %d stale\n", c.Turns, c.Takeovers, c.Overdue, c.Conflicts, c.Settles, c.Stale)
	fmt.Fprintf(&b, "replicas: %d ceilings, %d fetches, %d staged values, %d repairs, %d lessons, %d times damage met, %d checkpoints, %d calls to the disk\n",
		c.Raises, c.Fetches, c.Staged, c.Repairs, c.Lessons, c.DamageMet, c.Checkpoints, c.DiskCalls)
	b.WriteString("faults:")
	for f, n := range c.faults {
		if n > 0 {
			fmt.Fprintf(&b, " %d %v,", n, fault(f))
		}
	}
	fmt.Fprintf(&b, " %d clients that hung up", c.HungUp)
	return b.String()
}
