package peer

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// sentTimes remembers when the last few heartbeats were sent, in nanoseconds, by their number.
type sentTimes [8]atomic.Int64

// watch sends the heartbeats and adds up the silence, until the session is over. Silence is counted in ticks of this goroutine, and one that
// comes late counts little more than one in time: while this process stands still, or has too little of the processor, the other
// node's answers may well be waiting to be read.
func (s *session) watch() {
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	var silence time.Duration
	var number uint64
	last, beaten := time.Now(), time.Time{}
	for {
		now := time.Now()
		silence += min(now.Sub(last), watchTick*3/2)
		last = now
		if s.heard.Swap(false) {
			silence = 0
		}
		if silence >= DownAfter {
			s.end(DownSilent, errSilent)
		}
		if now.Sub(beaten) >= BeatEvery-watchTick/2 {
			beaten = now
			number++
			s.beaten[number%uint64(len(s.beaten))].Store(now.UnixNano())
			_ = s.pulse.Send(&wire.Beat{Number: number}) // the error is the stream's, and feel meets it
		}
		select {
		case <-ticker.C:
		case <-s.over:
			return
		case <-s.ctx.Done():
			s.end(DownBroken, errClosed)
			return
		}
	}
}

// feel takes in the other node's heartbeats.
func (s *session) feel() {
	for {
		beat, err := s.pulse.Recv()
		if err != nil {
			s.end(DownBroken, plain(err))
			return
		}
		s.heard.Store(true)
		s.learn(beat.GetState())
		sent := s.beaten[beat.GetNumber()%uint64(len(s.beaten))].Load()
		trip := max(time.Now().UnixNano()-sent, 0)
		if smoothed := s.rtt.Load(); smoothed > 0 {
			trip = smoothed + (trip-smoothed)/rttShare
		}
		s.rtt.Store(trip)
	}
}

// rttShare is the weight of one more round trip: 1 in so many.
const rttShare = 4

// learn takes in the other node's state.
func (s *session) learn(state *wire.State) {
	s.ready.Store(state.GetReady())
	s.named.Store(state.GetName())
	s.epoch.Store(state.GetEpoch())
	if heard := s.peer.peers.config.Heard; heard != nil && state != nil {
		heard(register.Time(state.GetClock()))
	}
}

func (s *session) state() State {
	name, _ := s.named.Load().(string)
	return State{Ready: s.ready.Load(), Epoch: s.epoch.Load(), Name: name}
}

// state is this node's, as its peers hear it.
func (p *Peers) state() *wire.State {
	s := p.config.Local.State()
	return &wire.State{Ready: s.Ready, Epoch: s.Epoch, Clock: uint64(s.Clock), Name: s.Name}
}

// Pulse answers another node's heartbeats. It ends when the other node has heard, on its other stream, that this one stops.
func (s *server) Pulse(stream grpc.BidiStreamingServer[wire.Beat, wire.Beat]) error {
	for {
		beat, err := stream.Recv()
		if err != nil {
			return nil
		}
		if err := stream.Send(&wire.Beat{Number: beat.GetNumber(), State: s.peers.state(), Start: s.peers.config.Start}); err != nil {
			return err
		}
	}
}
