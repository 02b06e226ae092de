package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/estorajed/estorajed/internal/register"
)

// A profile is the weather of one run: how many nodes and clients, what these do, and what goes wrong how often. Rates are in
// thousandths. Named profiles bring rare things together that chance alone would hardly let meet.
type profile struct {
	name string

	nodes, replicas, keys, cold int
	clients, operations         int           // operations of each client
	think                       time.Duration // at most, between two operations of a client
	patience                    time.Duration // of a client
	kinds                       []kind        // what clients do, each as likely as it is named

	gossip             bool // every message carries its sender's time, not only those that must
	drop, twice, late  int  // of messages
	lateMost           time.Duration
	sync, syncLate     time.Duration // at most: a sync, and a slow one
	slowSync           int           // of syncs
	roundLimit         time.Duration
	ahead              time.Duration // of the clock, when a ceiling is raised
	segment            int64         // entries of a journal segment
	staged             int           // of values, that are staged at the replicas and not sent along with the accept
	turns, away        int           // coordinators of one write at most; percent of turns that go anywhere, and not to the first replica
	wait               time.Duration // for a coordinator, at most
	cut                int           // of proposals whose sending is cut short by a crash or a stall of the coordinator
	delicate           int           // of moments in which a node has just taken note of something, that it crashes soon after
	faults             time.Duration // between two faults of the list below, on average; 0: none
	list               []fault       // each as likely as it is named
	stall              time.Duration // at most, but for those that stall for good
	jump               time.Duration // of a wall clock, at most
	wild               bool          // some clocks jump further than is tolerated
	repairs            time.Duration // between two repairs, on average; 0: none
	repairStall        int           // of repairers, that stall before they teach
	epochs             time.Duration // between two epochs, on average; 0: one
	damages            int           // of records that became durable, that rot soon after
	diskErrors         int           // of calls to the disk
	downFirst, downMax time.Duration // how long a crashed node stays down: at most, most often and rarely
}

// Everyday values of what a profile may leave as it is.
func everyday(r *rand.Rand) profile {
	ms := time.Millisecond
	p := profile{
		name: "mixed", nodes: 3 + r.IntN(5), replicas: of(r, 3, 3, 3, 5, 1), keys: 1 + r.IntN(3), cold: r.IntN(3),
		clients: 2 + r.IntN(4), operations: 10 + r.IntN(40), think: of[time.Duration](r, 2, 10, 40, 300) * ms, patience: of[time.Duration](r, 2, 8) * time.Second,
		kinds:  kindMixes[r.IntN(len(kindMixes))],
		gossip: r.IntN(2) == 0,
		drop:   of(r, 0, 10, 30, 100), twice: of(r, 0, 20, 60), late: of(r, 0, 10, 60),
		lateMost: of(r, 150*ms, 2*time.Second, 2*register.Window),
		sync:     of[time.Duration](r, 1, 4) * ms, slowSync: of(r, 0, 10, 100), syncLate: of(r, 100*ms, 3*time.Second, 2*register.Window),
		roundLimit: of[time.Duration](r, 100, 1000) * ms, ahead: of[time.Duration](r, 300, 6000) * ms, segment: of[int64](r, 8, 30, 200), staged: of(r, 0, 0, 200),
		turns: of(r, 1, 2, 4, 6), away: of(r, 0, 30, 100), wait: of[time.Duration](r, 50, 300, 2000) * ms,
		cut: of(r, 0, 0, 10, 50), delicate: of(r, 0, 0, 2, 10),
		faults: of[time.Duration](r, 0, 60, 200, 600, 1500) * ms, list: everyFault,
		stall: of(r, 200*ms, 3*time.Second, 3*register.Window), jump: of(r, time.Second, 30*time.Second, 20*time.Hour),
		repairs: of[time.Duration](r, 0, 0, 30, 200) * ms, repairStall: of(r, 0, 150, 400), epochs: of[time.Duration](r, 0, 0, 300, 3000) * ms,
		damages: of(r, 0, 0, 0, 10), diskErrors: 0,
		downFirst: 30 * ms, downMax: of(r, 300*ms, 4*time.Second),
	}
	p.replicas = min(p.replicas, p.nodes-1+p.nodes%2) // an odd number
	return p
}

// of draws one of these.
func of[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// profiles are what a run draws from, by name; each changes an everyday one. The mixed one is drawn as often as all others together.
var profiles = []struct {
	name  string
	shape func(r *rand.Rand, p *profile)
}{
	{"calm", func(r *rand.Rand, p *profile) { // contention, and nothing goes wrong: the measure of unknown outcomes
		p.drop, p.twice, p.late, p.slowSync, p.cut, p.delicate, p.faults, p.damages = 0, 0, 0, 0, 0, 0, 0, 0
		p.epochs, p.repairs, p.staged, p.wait, p.patience = 0, 0, 0, 2*time.Second, 8*time.Second
		p.keys, p.cold, p.replicas, p.nodes, p.think = 1, 0, 3, 5, 5*time.Millisecond
		p.roundLimit, p.kinds = time.Second, kindMixes[0]
	}},
	{"promises", func(r *rand.Rand, p *profile) { // nodes crash after they promised, and messages are late
		p.delicate, p.late, p.drop, p.lateMost = 80, 100, of(r, 80, 200), 150*time.Millisecond
		p.faults, p.epochs, p.repairs, p.keys, p.replicas, p.kinds = 0, 0, 0, 1, 3, of(r, kindMixes[0], kindMixes[2])
		p.think, p.ahead, p.downMax, p.roundLimit = of[time.Duration](r, 2, 10)*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	}},
	{"slow disks", func(r *rand.Rand, p *profile) { // accepts that take longer to become durable than anybody waits
		p.slowSync, p.syncLate, p.drop, p.roundLimit = 500, of(r, 200*time.Millisecond, 2*time.Second), of(r, 30, 150), 100*time.Millisecond
		p.keys, p.think, p.replicas = 1, of[time.Duration](r, 2, 10)*time.Millisecond, 3
	}},
	{"takeover", func(r *rand.Rand, p *profile) { // coordinators crash or stall amid a write
		p.turns, p.away, p.wait = 3+r.IntN(4), of(r, 50, 100), of[time.Duration](r, 15, 40, 120)*time.Millisecond
		p.cut, p.drop, p.late, p.lateMost = of(r, 20, 100, 250), of(r, 0, 30, 150), of(r, 0, 60, 200), of[time.Duration](r, 60, 150, 400)*time.Millisecond
		p.keys, p.think, p.stall, p.roundLimit = 1, of[time.Duration](r, 2, 10, 40)*time.Millisecond, of[time.Duration](r, 60, 150, 400)*time.Millisecond, 100*time.Millisecond
		p.list, p.replicas, p.nodes = []fault{stallOne, stallOne, crashOne, cutOne}, 3, 4+r.IntN(3)
		p.kinds = kindMixes[r.IntN(len(kindMixes))]
	}},
	{"hand-overs twice", func(r *rand.Rand, p *profile) { // hand-overs are doubled, and come late to coordinators that crashed meanwhile
		p.twice, p.late, p.lateMost, p.drop = 300, 300, of[time.Duration](r, 100, 400)*time.Millisecond, of(r, 0, 30)
		p.turns, p.away, p.wait, p.cut, p.faults = 2+r.IntN(3), 100, 2*time.Second, of(r, 50, 150), 0
		p.keys, p.think, p.replicas, p.roundLimit, p.clients = 1, 2*time.Millisecond, 3, 100*time.Millisecond, 5
		p.kinds, p.downFirst, p.downMax, p.slowSync = of(r, kindMixes[0], kindMixes[5]), 15*time.Millisecond, 30*time.Millisecond, 0
		p.operations = 40 + r.IntN(40)
	}},
	{"put if absent", func(r *rand.Rand, p *profile) { // deletes and conditional puts in contention, messages lost
		p.kinds, p.keys, p.think, p.drop = of(r, kindMixes[1], kindMixes[3]), 1, of[time.Duration](r, 2, 10)*time.Millisecond, of(r, 80, 200, 300)
		p.late, p.lateMost, p.faults, p.roundLimit, p.replicas = 100, 150*time.Millisecond, 0, 100*time.Millisecond, 3
		p.delicate, p.cut = of(r, 0, 20), of(r, 0, 50)
	}},
	{"repair", func(r *rand.Rand, p *profile) { // repairers teach what others are changing
		p.repairs, p.repairStall, p.keys, p.think = of[time.Duration](r, 3, 10, 30)*time.Millisecond, of(r, 0, 200), 1, of[time.Duration](r, 2, 10)*time.Millisecond
		p.late, p.drop, p.lateMost, p.replicas, p.clients = of(r, 100, 300), of(r, 30, 80, 150), 150*time.Millisecond, of(r, 3, 5), 5
		p.away, p.roundLimit, p.slowSync, p.faults = 100, 100*time.Millisecond, 0, of[time.Duration](r, 0, 300)*time.Millisecond
	}},
	{"clocks", func(r *rand.Rand, p *profile) { // wall clocks jump by hours, and now and then by more than is tolerated
		p.list, p.faults, p.jump = []fault{jumpOne, jumpOne, crashOne, stallOne}, 30*time.Millisecond, 20*time.Hour
		p.wild, p.nodes, p.damages = r.IntN(2) == 0, 5+r.IntN(3), 0
	}},
	{"damage", func(r *rand.Rand, p *profile) { // copies rot
		p.damages, p.replicas, p.segment, p.keys = 60, of(r, 3, 5), 8, 1+r.IntN(2)
		p.cold, p.nodes, p.drop = 2, 5+r.IntN(3), of(r, 0, 30)
	}},
	{"failing disks", func(r *rand.Rand, p *profile) { // syncs fail, the disk is full
		p.diskErrors, p.segment = of(r, 2, 10), 8
	}},
	{"epochs", func(r *rand.Rand, p *profile) { // the ring's table changes, though no set does
		p.epochs, p.delicate = of[time.Duration](r, 20, 100)*time.Millisecond, of(r, 0, 10)
	}},
	{"window", func(r *rand.Rand, p *profile) { // everything may take longer than promises are remembered
		p.think, p.late, p.lateMost, p.slowSync, p.syncLate = 2*time.Second, 100, 2*register.Window, 100, 2*register.Window
		p.stall, p.list, p.faults = 3*register.Window, []fault{stallOne, crashOne, cutOne}, 2*time.Second
		p.repairs, p.repairStall, p.keys = of(r, 0, 500*time.Millisecond), 300, 1
		p.operations = 10 + r.IntN(20)
	}},
}

// draw makes the profile of a run: the one of that name, or whichever the seed says.
func draw(r *rand.Rand, name string) profile {
	p := everyday(r)
	if i := r.IntN(2 * len(profiles)); name == "" && i < len(profiles) {
		name = profiles[i].name
	}
	for _, known := range profiles {
		if known.name == name {
			p.name = name
			known.shape(r, &p)
		}
	}
	p.nodes = max(p.nodes, p.replicas)
	return p
}
