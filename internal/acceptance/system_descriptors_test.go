//go:build system

package acceptance

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"
)

const (
	fewDescriptors   = 80
	pressureConns    = 200
	pressureTime     = 3 * time.Second
	recoveryPatience = 60 * time.Second
)

func TestSystemShortageOfDescriptorsPasses(t *testing.T) {
	needRoot(t)
	seed := newSeed(t)
	s := newSubject(t, t.TempDir())
	s.Wrap = []string{"prlimit", fmt.Sprintf("--nofile=%d:%[1]d", fewDescriptors)}
	s.start()
	crowd := newCrowd(newClient(s.Daemon, crowdClients), crowdClients, crowdKeys, seed)
	conns := make([]net.Conn, 0, pressureConns)
	for range pressureConns {
		conns = append(conns, idle(t, s, "GET /a HT"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), pressureTime)
	defer cancel()
	if err := crowd.endure(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations acknowledged with %d descriptors and %d idle connections", crowd.total(), fewDescriptors, pressureConns)
	for _, conn := range conns {
		conn.Close()
	}

	eventually(t, recoveryPatience, func() error { return s.Ready(t.Context()) })
	before := crowd.writesAcknowledged()
	ctx, cancel = context.WithTimeout(t.Context(), pressureTime)
	defer cancel()
	if err := crowd.endure(ctx); err != nil {
		t.Fatal(err)
	}
	if crowd.writesAcknowledged() == before {
		t.Error("no write is acknowledged after the shortage")
	}
	if s.scrape().value(t, "estorajed_store_failed") != 0 || s.scrape().value(t, "estorajed_store_damages_total") != 0 {
		t.Error("the shortage was taken for a broken disk")
	}
	s.Kill()
	s.start()
	if err := crowd.audit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
