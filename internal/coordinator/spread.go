package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Limits of spreading one body.
const (
	chunk        = 64 << 10               // bytes read at once
	windowChunks = 4                      // that the slowest replica may be behind
	stallLimit   = 2 * time.Second        // that it may be so far behind, while a majority is not
	stallMax     = 30 * time.Second       // that a majority may be, or may take for the sync in the end
	lastGrace    = 250 * time.Millisecond // for the others, once a majority has staged it all
)

// A spread is one body on its way to several replicas at once. It is read chunk by chunk into a window, from which each replica takes it at
// its own pace; the window moves on when the slowest that still counts has passed.
type spread struct {
	id     register.Stamp
	window [windowChunks]*[chunk]byte // made as they are needed
	moved  chan struct{}              // one place: a replica has passed a chunk, or is done

	mu      sync.Mutex // guards the fields below, the chunks that are written, and the taps'
	lengths [windowChunks]int
	written int    // chunks
	end     error  // io.EOF: that was all; else why nothing more comes
	over    bool   // nobody will use what is staged from now on
	taps    []*tap // one a replica
	votes   ring.Votes
}

// spread stages the body at all live replicas while it is read, and returns when that is done at a majority of them.
func (c *Coordinator) spread(ctx context.Context, k key.Key, set ring.Set, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &spread{id: id, moved: make(chan struct{}, 1), votes: set.Votes()}
	for node := range set.Members() {
		t := &tap{spread: s, node: node, more: make(chan struct{}, 1)}
		s.taps = append(s.taps, t)
		if !c.up(node) {
			t.left, t.done, t.err = true, true, register.ErrUnreachable
			s.votes.Refuse(node)
			continue
		}
		c.stragglers.Go(func() { c.fill(ctx, t, size) })
	}
	value, err := s.pump(ctx, body, size)
	if err == nil {
		err = s.settle(ctx, value)
	}
	if errors.Is(err, errNoMajority) {
		err = c.lacking(k, set, s.cause(), s.heard())
	}
	cancel() // who has not staged it by now is not waited for
	s.leave(err)
	if err == nil {
		return value, nil
	}
	for _, t := range s.taps {
		if replica := c.at(t.node); replica != nil && t.staged() {
			c.stragglers.Go(func() { replica.Unstage(t.value) })
		}
	}
	return register.Value{}, err
}

// pump reads the body to its end.
func (s *spread) pump(ctx context.Context, body io.Reader, size int64) (register.Value, error) {
	value, sum := register.Value{Stage: s.id}, xxhash.New()
	for last := false; !last; {
		if err := s.await(ctx, (*tap).full); err != nil {
			return value, err
		}
		slot := s.written % windowChunks // only this goroutine writes it
		if s.window[slot] == nil {
			s.window[slot] = new([chunk]byte)
		}
		var n int
		var err error
		if n, last, err = readChunk(body, s.window[slot][:]); err != nil {
			return value, fmt.Errorf("read the body: %w", err)
		}
		sum.Write(s.window[slot][:n])
		value.Length += int64(n)
		if last && size >= 0 && value.Length != size {
			return value, fmt.Errorf("read the body: %w", io.ErrUnexpectedEOF)
		}
		s.add(n, last)
	}
	value.Sum = sum.Sum64()
	return value, nil
}

// readChunk fills b; last tells that the reader ended. An end that the reader calls unexpected is an error, not an end.
func readChunk(r io.Reader, b []byte) (n int, last bool, err error) {
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// add lets the taps have the chunk that was read.
func (s *spread) add(n int, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 {
		s.lengths[s.written%windowChunks] = n
		s.written++
	}
	if last {
		s.end = io.EOF
	}
	s.wake()
}

// wake has all taps look again. The caller holds mu.
func (s *spread) wake() {
	for _, t := range s.taps {
		signal(t.more)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

var errNoMajority = errors.New("too few replicas have staged the value")

// await waits until no tap is behind. Those that are for too long are left behind, unless a majority is.
func (s *spread) await(ctx context.Context, behind func(*tap) bool) error {
	var stall *time.Timer // most often nobody is waited for
	patience := stallLimit
	for {
		lost, late := s.look(behind)
		if lost {
			return errNoMajority
		}
		if !late {
			return nil
		}
		if stall == nil {
			stall = time.NewTimer(patience)
			defer stall.Stop()
		}
		select {
		case <-s.moved:
		case <-stall.C:
			if !s.drop(behind) {
				if patience == stallMax {
					return errNoMajority
				}
				patience = stallMax
				stall.Reset(patience)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look tells whether no majority is left, and whether a tap is behind.
func (s *spread) look(behind func(*tap) bool) (lost, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.taps {
		late = late || behind(t)
	}
	return s.votes.Verdict() == ring.Lost, late
}

// drop leaves those behind that are, if the others can still make up a majority.
func (s *spread) drop(behind func(*tap) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	without := s.votes
	for _, t := range s.taps {
		if behind(t) {
			without.Refuse(t.node)
		}
	}
	if without.Verdict() == ring.Lost {
		return false
	}
	s.votes = without
	for _, t := range s.taps {
		if behind(t) {
			t.left, t.err = true, errBehind
			signal(t.more)
		}
	}
	return true
}

// settle waits until a majority has staged the value, and a little for the others.
func (s *spread) settle(ctx context.Context, value register.Value) error {
	limit, grace := time.NewTimer(stallMax), false
	defer limit.Stop()
	for {
		verdict, busy := s.judge(value)
		switch {
		case verdict == ring.Lost:
			return errNoMajority
		case verdict == ring.Won && !busy:
			return nil
		case verdict == ring.Won && !grace:
			grace = true
			limit.Reset(lastGrace)
		}
		select {
		case <-s.moved:
		case <-limit.C:
			if !grace {
				return errNoMajority
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errDiffers = errors.New("staged other bytes than were sent")

// judge counts who has staged just that value, and tells whether somebody is still at it.
func (s *spread) judge(value register.Value) (v ring.Verdict, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.taps {
		switch {
		case t.busy():
			busy = true
		case !t.done || t.err != nil:
		case t.value.Length != value.Length || t.value.Sum != value.Sum:
			t.err = errDiffers
			s.votes.Refuse(t.node)
		default:
			s.votes.Ack(t.node)
		}
	}
	return s.votes.Verdict(), busy
}

// leave ends the taps that are still running; with an error, nobody will use what was staged.
func (s *spread) leave(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = err != nil
	if s.end == nil {
		s.end = err
	}
	for _, t := range s.taps {
		t.left = true
	}
	s.wake()
}

// heard is what the replicas have made of the body.
func (s *spread) heard() (list []hearing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.taps {
		list = append(list, hearing{node: t.node, err: t.err})
	}
	return list
}

// cause is the error of a replica that says most.
func (s *spread) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	best := error(register.ErrUnreachable)
	for _, t := range s.taps {
		if t.err != nil && (errors.Is(best, register.ErrUnreachable) || errors.Is(t.err, register.ErrFull)) {
			best = t.err
		}
	}
	return best
}
