package acceptance

import (
	"context"
	"strings"
	"testing"
	"time"
)

// rollingDrain is what nodes are given to be noticed in: the balancer probes once a second.
const rollingDrain = 2 * time.Second

// TestRollingRestartFailsNoRequest stops each of three nodes with SIGTERM and starts it again, under load that comes through the balancer.
func TestRollingRestartFailsNoRequest(t *testing.T) {
	c := startCrew(t, 3, "-drain-delay="+rollingDrain.String())
	l := newTraffic(t)
	l.add(newClient(c.balanced(), 2*outageClients), 2*outageClients)
	var requests, failed int
	for i := range c.Nodes {
		before := l.count()
		c.node(i).stop()
		c.node(i).start()
		t.Logf("%s was restarted during %d requests", NodeName(i), l.count()-before)
	}
	for _, r := range l.end() {
		requests++
		if r.err != nil {
			failed++
			t.Errorf("%v", r.err)
		}
	}
	t.Logf("%d requests, %d failed", requests, failed)
	if requests < 1000 {
		t.Error("there were too few requests to prove anything")
	}
}

// TestDrainingNodeIsLeftOutAtOnce asks the others as soon as a node has said that it drains.
func TestDrainingNodeIsLeftOutAtOnce(t *testing.T) {
	c := startCrew(t, 3, "-drain-delay=3s")
	leaving := c.Nodes[0]
	stopped := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), stopPatience)
	defer cancel()
	go func() { stopped <- leaving.Stop(ctx) }()
	var said string
	eventually(t, outagePatience, notReady(c.node(0), &said))
	if !strings.Contains(said, "draining") {
		t.Errorf("/_ready says %q", said)
	}
	for i := range 3 {
		within(t, atOnce, func() error { return c.names(i, leaving, false) })
		within(t, atOnce, func() error { return c.says(i, 0, "draining") })
	}
	if err := ordinary(t.Context(), c.client(0, 1), 0); err != nil {
		t.Errorf("a node that drains still answers: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}
