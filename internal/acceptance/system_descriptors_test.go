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
	fewDescriptors = 160 // no fewer: etcd refuses to run with less than 150
	greedyClients  = 120 // more than get a connection
	greedyIdle     = 200 // connections that send half a request and wait
	greedyKeys     = 5   // of each client
	greedyTime     = 5 * time.Second
	reliefPatience = 30 * time.Second // from the end of the shortage to the first answer
)

func TestSystemShortageOfDescriptorsPasses(t *testing.T) {
	needRoot(t)
	seed := newSeed(t)
	s := newSubject(t, t.TempDir())
	s.Wrap = []string{"prlimit", fmt.Sprintf("--nofile=%d:%[1]d", fewDescriptors)}
	s.start()
	crowd := newCrowd(newClient(s.Daemon, greedyClients), greedyClients, greedyKeys, seed)

	acknowledged := endure(t, crowd) // too few descriptors for files
	if acknowledged == 0 {
		t.Error("no write was acknowledged while files were short of descriptors")
	}
	conns := make([]net.Conn, 0, greedyIdle)
	for range greedyIdle {
		conns = append(conns, idle(t, s, "GET /a HT"))
	}
	t.Logf("%d writes acknowledged with %d clients, %d more with %d idle connections too, at %d descriptors",
		acknowledged, greedyClients, endure(t, crowd), greedyIdle, fewDescriptors)
	for _, conn := range conns {
		conn.Close()
	}

	crowd.writers[0].client.http.CloseIdleConnections() // all share it
	ctx, cancel := context.WithTimeout(t.Context(), reliefPatience)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatalf("after the shortage: %v", err)
	}
	crowd.writers = crowd.writers[:crowdClients] // as many as the descriptors are enough for
	if endure(t, crowd) == 0 {
		t.Error("no write is acknowledged after the shortage")
	}
	if n := s.scrape().value(t, "estorajed_store_failed") + s.scrape().value(t, "estorajed_store_damages_total"); n != 0 {
		t.Error("the shortage was taken for a broken disk")
	}
	s.Kill()
	s.start()
	if err := crowd.audit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// endure lets the crowd try for a while, and gives how many of its writes were acknowledged.
func endure(t *testing.T, crowd *crowd) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), greedyTime)
	defer cancel()
	before := crowd.writesAcknowledged()
	if err := crowd.endure(ctx); err != nil {
		t.Fatal(err)
	}
	return crowd.writesAcknowledged() - before
}
