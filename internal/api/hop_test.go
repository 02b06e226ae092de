package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/register"
)

func TestWhoDidTheWorkIsTold(t *testing.T) {
	asked := false
	keys := &memory{beforeWrite: func(context.Context) error {
		asked = true
		return nil
	}, beforeRead: func(context.Context) error {
		asked = true
		return nil
	}}
	c := testConfig(keys, newJournal())
	c.Hop = func(ctx context.Context) (string, int) {
		if !asked || ctx.Value(journalKey{}) != testParent {
			return "", 0
		}
		return "node_2", 1
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		method, path, body string
		status             int
		told               bool
	}{
		{"PUT", "/k", "value", 201, true},
		{"GET", "/k", "", 200, true},
		{"HEAD", "/k", "", 200, true},
		{"GET", "/absent", "", 404, true},
		{"DELETE", "/k", "", 204, true},
		{"PUT", "/k?consistency=none", "value", 400, false},
		{"GET", "/_reserved", "", 404, false},
	} {
		asked = false
		r := httptest.NewRecorder()
		s.ServeHTTP(r, httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body)))
		name, hops := r.Header().Get("Estorajed-Coordinator"), r.Header().Get("Estorajed-Hops")
		if r.Code != tc.status || (name == "node_2" && hops == "1") != tc.told || (name == "") == tc.told {
			t.Errorf("%s %s: %d, coordinator %q, hops %q", tc.method, tc.path, r.Code, name, hops)
		}
	}
	keys.beforeWrite = func(context.Context) error {
		asked = true
		return &register.UnknownError{Cause: register.ErrFailed}
	}
	r := httptest.NewRecorder()
	s.ServeHTTP(r, httptest.NewRequest("PUT", "/k", strings.NewReader("value")))
	if r.Code != 504 || r.Header().Get("Estorajed-Coordinator") != "node_2" {
		t.Errorf("an error: %d, %v", r.Code, r.Header())
	}
}
