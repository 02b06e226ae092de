package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBalancerRepeatsOnlyWhatIsSafe(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, tc := range []struct {
		name     string
		method   string
		header   []string
		other    string // the other node: closed, breaks
		repeated bool   // each of many requests is answered by the good node
		status   int    // of those that are not
		says     string
	}{
		{"a read whose node refuses the connection", http.MethodGet, nil, "closed", true, 0, ""},
		{"a write whose node refuses the connection", http.MethodPut, nil, "closed", true, 0, ""},
		{"a delete whose node refuses the connection", http.MethodDelete, nil, "closed", true, 0, ""},
		{"a read whose connection breaks", http.MethodGet, nil, "breaks", true, 0, ""},
		{"a HEAD whose connection breaks", http.MethodHead, nil, "breaks", true, 0, ""},
		{"a PUT whose connection breaks", http.MethodPut, nil, "breaks", false, http.StatusBadGateway, "unknown"},
		{"a POST whose connection breaks", http.MethodPost, nil, "breaks", false, http.StatusBadGateway, "unknown"},
		{"a DELETE whose connection breaks", http.MethodDelete, nil, "breaks", false, http.StatusBadGateway, "unknown"},
		{"a DELETE that says it may be repeated", http.MethodDelete, []string{"Idempotency-Key", "1"}, "breaks", false, http.StatusBadGateway, "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			good := newFakeNode(t, fine)
			bad := newFakeNode(t, breaks)
			second := bad.address
			if tc.other == "closed" {
				second = closedPort(t)
			}
			c := newClient(balance(t, []string{good.address, second}), 1)
			const tries = 20
			failed := 0
			for range tries {
				var body io.Reader
				if tc.method == http.MethodPut || tc.method == http.MethodPost {
					body = strings.NewReader("value")
				}
				got, err := c.do(t.Context(), tc.method, "key", body, tc.header...)
				if err != nil {
					t.Fatal(err)
				}
				if got.status == http.StatusOK {
					continue
				}
				failed++
				if tc.repeated || got.status != tc.status || !strings.Contains(string(got.body), tc.says) {
					t.Errorf("%s %s", tc.method, got)
				}
			}
			if !tc.repeated && failed == 0 {
				t.Error("no request failed: the test proves nothing")
			}
			if sum := good.requests() + bad.requests(); !tc.repeated && sum != tries {
				t.Errorf("the nodes saw %d requests, of %d that were sent", sum, tries)
			}
		})
	}
}

func TestBalancerLeavesOutWhatIsNotReady(t *testing.T) {
	t.Parallel() // it mostly waits
	stays, leaves := newFakeNode(t, fine), newFakeNode(t, fine)
	c := newClient(balance(t, []string{stays.address, leaves.address}), 1)
	shared := func() error {
		before := leaves.requests()
		for range 4 {
			if got, err := c.get(t.Context(), "key"); err != nil || got.status != http.StatusOK {
				t.Fatalf("get: %v %v", got, err)
			}
		}
		if leaves.requests() == before {
			return errors.New("it gets no requests")
		}
		return nil
	}
	eventually(t, probePatience, shared)
	leaves.draining.Store(true)
	eventually(t, probePatience, func() error {
		if shared() == nil {
			return errors.New("it still gets requests")
		}
		return nil
	})
	// A node serves for 3 s after it has said that it is draining.
	for began := time.Now(); time.Since(began) < time.Second; {
		if shared() == nil {
			t.Fatal("a node that is not ready gets requests")
		}
	}
	leaves.draining.Store(false)
	eventually(t, probePatience, shared)
}

func TestBalancerWithoutNodesSaysSo(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newClient(balance(t, []string{closedPort(t), closedPort(t)}), 1)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		began := time.Now()
		got, err := c.do(t.Context(), method, "key", nil)
		if err != nil || got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !got.untouched() || time.Since(began) > probePatience {
			t.Errorf("%s: %v %v after %v; want 503 with Retry-After soon, which says that nothing was done", method, got, err, time.Since(began))
		}
		var problem struct{ Error string }
		if err := json.Unmarshal(got.body, &problem); err != nil || problem.Error == "" {
			t.Errorf("%s: the body is %q: %v", method, got.body, err)
		}
	}
	mustAnswer(t, http.StatusOK)(c.get(t.Context(), "_health"))
}

func TestBalancerPassesLateAnswersOfTheNodeOn(t *testing.T) {
	t.Parallel()                         // it mostly waits
	const late = 5500 * time.Millisecond // a node gives up after 5 s, and may take longer to say so
	n := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		<-time.After(late)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusGatewayTimeout)
		fmt.Fprint(w, "the node's own words")
	})
	c := newClient(balance(t, []string{n.address}), 2)
	together(t, 2, func(i int) error {
		method := []string{http.MethodGet, http.MethodPut}[i]
		got, err := c.do(t.Context(), method, "key", nil)
		if err != nil || got.status != http.StatusGatewayTimeout || string(got.body) != "the node's own words" || got.header.Get("Retry-After") != "7" {
			return fmt.Errorf("%s: %v %w", method, got, err)
		}
		return nil
	})
	if n.requests() != 2 {
		t.Errorf("the node saw %d requests, of 2 that were sent", n.requests())
	}
}
