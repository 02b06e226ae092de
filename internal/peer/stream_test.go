package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// A pattern is so many bytes, each of them told by its place; it counts how far it was read.
type pattern struct {
	length int64
	at     atomic.Int64
	closed atomic.Bool
	fail   error // at the end, instead of io.EOF
	wait   chan struct{}
	stop   int64 // where it waits, if wait is set
}

func (p *pattern) Read(b []byte) (int, error) {
	at := p.at.Load()
	if p.wait != nil && at >= p.stop {
		<-p.wait
	}
	n := min(int64(len(b)), p.length-at)
	for i := range n {
		b[i] = byte((at + i) * 31 >> 3)
	}
	p.at.Add(n)
	if n == 0 && len(b) > 0 {
		if p.fail != nil {
			return 0, p.fail
		}
		return 0, io.EOF
	}
	return int(n), nil
}

func (p *pattern) Seek(offset int64, _ int) (int64, error) {
	p.at.Store(offset)
	return offset, nil
}

func (p *pattern) Close() error {
	p.closed.Store(true)
	return nil
}

// bytesOf are those of a pattern.
func bytesOf(from, to int64) []byte {
	p := &pattern{length: to}
	p.at.Store(from)
	b, _ := io.ReadAll(p)
	return b
}

const mebibyte = 1 << 20

// reads has a node give a pattern, of a length that its replica is asked for and its coordinator too.
func reads(server *node, body *pattern) {
	give := func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
		return dataRecord(int(body.length)), body, nil
	}
	server.local.read, server.local.get = give, give
}

func TestValuesAreStagedWhole(t *testing.T) {
	server, to := pair(t, nil)
	server.local.stage = func(_ context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
		b, err := io.ReadAll(body)
		if size >= 0 && size != int64(len(b)) {
			t.Errorf("%d bytes, %d were announced", len(b), size)
		}
		v := register.Value{Length: int64(len(b)), Sum: xxhash.Sum64(b), Stage: id}
		if len(b) <= register.InlineMax {
			v.Inline, v.Stage = b, register.Stamp{}
		}
		return v, err
	}
	for _, length := range []int64{0, 1, register.InlineMax, register.InlineMax + 1, 3 * mebibyte} {
		for _, size := range []int64{length, -1} {
			v, err := to.Stage(t.Context(), at(5, 1), &pattern{length: length}, size)
			if err != nil || v.Length != length || v.Sum != xxhash.Sum64(bytesOf(0, length)) {
				t.Fatalf("%d bytes: %v, %v", length, v, err)
			}
			if long := length > register.InlineMax; long != (v.Stage == at(5, 1)) || long == (v.Inline != nil) {
				t.Errorf("%d bytes: %v", length, v)
			}
		}
	}
}

func TestStagingGoesNoFasterThanTheDisk(t *testing.T) {
	server, to := pair(t, nil)
	release := make(chan struct{})
	server.local.stage = func(_ context.Context, _ register.Stamp, body io.Reader, _ int64) (register.Value, error) {
		<-release
		n, err := io.Copy(io.Discard, body)
		return register.Value{Length: n}, err
	}
	body := &pattern{length: 64 * mebibyte}
	done := make(chan error, 1)
	go func() {
		v, err := to.Stage(t.Context(), at(1, 1), body, body.length)
		if err == nil && v.Length != body.length {
			err = fmt.Errorf("%d bytes came", v.Length)
		}
		done <- err
	}()
	eventually(t, func() error {
		if body.at.Load() < streamWindow {
			return errors.New("nothing flows")
		}
		return nil
	})
	for range 100 {
		runtime.Gosched()
		if taken := body.at.Load(); taken > 4*streamWindow {
			t.Fatalf("%d bytes were taken off the body while the disk took none", taken)
		}
	}
	if n := to.status().Streams; n != 1 {
		t.Errorf("%d streams", n)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestManyLongValuesTakeLittleMemory(t *testing.T) {
	server, to := pair(t, nil)
	server.local.stage = func(_ context.Context, _ register.Stamp, body io.Reader, _ int64) (register.Value, error) {
		n, err := io.Copy(io.Discard, body)
		return register.Value{Length: n}, err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const streams, each = 16, 24 * mebibyte
	errs := make(chan error, streams)
	for range streams {
		go func() {
			_, err := to.Stage(t.Context(), at(1, 1), &pattern{length: each}, each)
			errs <- err
		}()
	}
	for range streams {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 128*mebibyte {
		t.Errorf("%d MiB for %d values at once, %d MiB together", grown/mebibyte, streams, streams*each/mebibyte)
	}
}

func TestABodyThatFailsEndsItsStaging(t *testing.T) {
	server, to := pair(t, nil)
	heard := make(chan error, 1)
	server.local.stage = func(_ context.Context, _ register.Stamp, body io.Reader, _ int64) (register.Value, error) {
		_, err := io.Copy(io.Discard, body)
		heard <- err
		return register.Value{}, err
	}
	for _, fault := range []error{errOther, io.ErrUnexpectedEOF} {
		_, err := to.Stage(t.Context(), at(1, 1), &pattern{length: 4 * mebibyte, fail: fault}, -1) // more than is on its way before the node takes some
		if !errors.Is(err, fault) {
			t.Errorf("the caller hears %v", err)
		}
		if err := <-heard; err == nil {
			t.Error("the node takes the half of a value for a whole")
		}
	}
}

func TestARefusedStagingStopsTheBody(t *testing.T) {
	server, to := pair(t, nil)
	server.local.stage = func(_ context.Context, _ register.Stamp, body io.Reader, _ int64) (register.Value, error) {
		_, _ = io.CopyN(io.Discard, body, 1000)
		return register.Value{}, register.ErrFull
	}
	body := &pattern{length: 64 * mebibyte}
	if _, err := to.Stage(t.Context(), at(1, 1), body, body.length); !errors.Is(err, register.ErrFull) {
		t.Errorf("the caller hears %v", err)
	}
	if taken := body.at.Load(); taken > 8*mebibyte {
		t.Errorf("%d bytes were read of a value that nobody wanted", taken)
	}
}

func TestLongValuesAreFetched(t *testing.T) {
	server, to := pair(t, nil)
	for _, length := range []int64{register.InlineMax + 1, 3*mebibyte + 7} {
		for name, read := range map[string]func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error){"read": to.Read, "get": to.Get} {
			reads(server, &pattern{length: length})
			ctx, cancel := context.WithCancel(t.Context())
			rec, body, err := read(ctx, "k")
			cancel() // the body does not depend on it
			if err != nil || rec.Value.Length != length || rec.Value.Inline != nil {
				t.Fatalf("%s of %d bytes: %v, %v", name, length, rec, err)
			}
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, bytesOf(0, length)) {
				t.Errorf("%s of %d bytes: %d came, %v", name, length, len(got), err)
			}
			if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v", n, err)
			}
			body.Close()
			body.Close()
		}
	}
	if n := to.status().Streams; n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

func TestAPartOfAValueCostsLittleMore(t *testing.T) {
	server, to := pair(t, nil)
	const length = 64 * mebibyte
	source := &pattern{length: length}
	reads(server, source)
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if source.at.Load() != 0 {
		t.Error("bytes flow that nobody reads yet")
	}
	for _, from := range []int64{60 * mebibyte, 5, 30*mebibyte + 1, length - 10, 0, length} {
		if got, err := body.Seek(from, io.SeekStart); err != nil || got != from {
			t.Fatal(got, err)
		}
		want := bytesOf(from, min(from+1000, length))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(body, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("from %d: %v", from, err)
		}
		if read := source.at.Load() - from; from < length && (read < 0 || read > 8*streamWindow) {
			t.Errorf("from %d: %d bytes were read for 1000", from, read)
		}
	}
	if got, err := body.Seek(-3, io.SeekCurrent); err != nil || got != length-3 {
		t.Error(got, err)
	}
	if got, err := body.Seek(-5, io.SeekEnd); err != nil || got != length-5 {
		t.Error(got, err)
	}
	if _, err := body.Seek(-1, io.SeekStart); err == nil {
		t.Error("there is something before the first byte")
	}
	body.Close()
	eventually(t, func() error {
		if !source.closed.Load() {
			return errors.New("the node still holds the value open")
		}
		return nil
	})
	if _, err := body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed body is read")
	}
}

func TestFetchingGoesNoFasterThanItsReader(t *testing.T) {
	server, to := pair(t, nil)
	source := &pattern{length: 64 * mebibyte}
	reads(server, source)
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.CopyN(io.Discard, body, 100); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if source.at.Load() < streamWindow {
			return errors.New("nothing flows ahead")
		}
		return nil
	})
	for range 100 {
		runtime.Gosched()
		if taken := source.at.Load(); taken > 4*streamWindow {
			t.Fatalf("%d bytes were read ahead", taken)
		}
	}
	if n, err := io.Copy(io.Discard, body); err != nil || n != source.length-100 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestDamageInTheMiddleCrosses(t *testing.T) {
	server, to := pair(t, nil)
	damage := &register.DamageError{Where: "there", What: "rot"}
	give := func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
		return dataRecord(2 * mebibyte), &pattern{length: mebibyte, fail: damage}, nil
	}
	server.local.read = give
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	n, err := io.Copy(io.Discard, body)
	if got, is := errors.AsType[*register.DamageError](err); n != mebibyte || !is || *got != *damage {
		t.Errorf("%d bytes, then %v", n, err)
	}
}

func TestAValueThatIsShorterThanItsRecordIsAnError(t *testing.T) {
	server, to := pair(t, nil)
	server.local.read = func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
		return dataRecord(2 * mebibyte), &pattern{length: mebibyte}, nil
	}
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); n != mebibyte || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, then %v", n, err)
	}
}

func TestAStateThatChangedBeforeItWasFetchedIsGivenAsItIs(t *testing.T) {
	server, to := pair(t, nil)
	var asked atomic.Int64
	server.local.read = func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
		switch asked.Add(1) {
		case 1, 3, 5:
			return dataRecord(mebibyte), &pattern{length: mebibyte}, nil
		case 2:
			return register.Record{}, nil, nil
		case 4:
			return dataRecord(3), newValue([]byte("abc")), nil
		}
		return register.Record{}, nil, register.ErrFailed
	}
	if rec, body, err := to.Read(t.Context(), "k"); err != nil || body != nil || rec.Present() {
		t.Errorf("it is gone: %v, %v, %v", rec, body, err)
	}
	rec, body, err := to.Read(t.Context(), "k")
	if err != nil || rec.Value.Length != 3 {
		t.Fatalf("it is short: %v, %v", rec, err)
	}
	if got, err := io.ReadAll(body); err != nil || string(got) != "abc" {
		t.Errorf("it is short: %q, %v", got, err)
	}
	body.Close()
	if _, _, err := to.Read(t.Context(), "k"); !errors.Is(err, register.ErrFailed) {
		t.Errorf("it cannot be read: %v", err)
	}
	if n := to.status().Streams; n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

func TestAStreamThatStandsStillIsCut(t *testing.T) {
	server, to := pair(t, nil)
	to.peers.stall = 100 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	server.local.stage = func(ctx context.Context, _ register.Stamp, _ io.Reader, _ int64) (register.Value, error) {
		select {
		case <-ctx.Done():
		case <-release:
		}
		return register.Value{}, ctx.Err()
	}
	if _, err := to.Stage(t.Context(), at(1, 1), &pattern{length: 64 * mebibyte}, -1); !errors.Is(err, errStalled) {
		t.Errorf("stage: %v", err)
	}
	reads(server, &pattern{length: 64 * mebibyte, stop: mebibyte, wait: release})
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); n > 2*mebibyte || !errors.Is(err, errStalled) {
		t.Errorf("fetch: %d bytes, then %v", n, err)
	}
}

func TestAServerCutsWhoDoesNotMove(t *testing.T) {
	network := newNetwork(t)
	server := network.start(network.config(2, 1))
	server.Peers.stall = 100 * time.Millisecond
	to := up(t, network.start(network.config(1, 1)).To(2))
	source := &pattern{length: 64 * mebibyte}
	reads(server, source)
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := body.Read(make([]byte, 10)); err != nil { // and no more
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !source.closed.Load() {
			return errors.New("the node still holds the value open")
		}
		return nil
	})

	ended := make(chan error, 1)
	server.local.stage = func(_ context.Context, _ register.Stamp, body io.Reader, _ int64) (register.Value, error) {
		_, err := io.Copy(io.Discard, body)
		ended <- err
		return register.Value{}, err
	}
	release := make(chan struct{})
	staged := make(chan error, 1)
	go func() {
		_, err := to.Stage(t.Context(), at(1, 1), &pattern{length: 64 * mebibyte, stop: mebibyte, wait: release}, -1)
		staged <- err
	}()
	if err := <-ended; err == nil {
		t.Error("half a value was taken for a whole")
	}
	close(release)
	if err := <-staged; err == nil {
		t.Error("half a value was staged")
	}
}

func TestStreamsEndWithTheirSession(t *testing.T) {
	server, to, between, _ := proxied(t)
	source := &pattern{length: 64 * mebibyte}
	reads(server, source)
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	began := make(chan struct{})
	server.local.stage = func(ctx context.Context, _ register.Stamp, body io.Reader, _ int64) (register.Value, error) {
		close(began)
		<-ctx.Done()
		return register.Value{}, ctx.Err()
	}
	staged := make(chan error, 1)
	go func() {
		_, err := to.Stage(t.Context(), at(1, 1), &pattern{length: 64 * mebibyte}, -1)
		staged <- err
	}()
	<-began
	between.setSilent(true)
	if err := <-staged; !isDown(err) {
		t.Errorf("stage: %v", err)
	}
	if _, err := io.Copy(io.Discard, body); !isDown(err) {
		t.Errorf("fetch: %v", err)
	}
}

func isDown(err error) bool {
	_, is := errors.AsType[*DownError](err)
	return is
}

func TestHeartbeatsGoOnWhileLongValuesFlow(t *testing.T) {
	server, to, _, seen := proxied(t)
	reads(server, &pattern{length: 1 << 40})
	stop := make(chan struct{})
	errs := make(chan error, 4)
	for range cap(errs) {
		_, body, err := to.Read(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer body.Close()
			b := make([]byte, pieceBytes)
			for {
				select {
				case <-stop:
					errs <- nil
					return
				default:
				}
				if _, err := body.Read(b); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	end := time.Now().Add(3 * DownAfter)
	for time.Now().Before(end) {
		if _, err := to.Ask(t.Context(), "k", register.Message{Phase: register.Look}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := seen.String(); got != "[]" {
		t.Errorf("it went down: %v", got)
	}
}
