package observe_test

import (
	"errors"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/telemetry"
)

func TestTheClusterIsTold(t *testing.T) {
	failure := errors.New("input/output error")
	log := &lines{}
	e := logging(t, telemetry.NewMetrics(telemetry.Build{}), log, "info").ClusterEvents()
	for _, tc := range []struct {
		happen func()
		line   string
	}{
		{func() { e.Log("warn", "peer became inactive", []any{"peer", 1}) }, "etcd warns"},
		{func() { e.Log("fatal", "failed to save", nil) }, "etcd reports an error"},
		{func() { e.Fatal(failure) }, "this node's etcd is over; keys are served, and the other voters decide without it, until the node is started again"},
		{func() { e.WatchLost(failure) }, "etcd does not answer; changes of members and ring come late"},
		{func() { e.LeaseLost(failure) }, "the sign of life in etcd is lost; trying again"},
		{func() { e.Defragmented(2, 1, nil) }, "etcd's file was made smaller"},
		{func() { e.Defragmented(2, 2, failure) }, "etcd's file could not be made smaller"},
	} {
		tc.happen()
		if got := log.with(t, tc.line); len(got) != 1 {
			t.Errorf("%d lines say %q, want 1", len(got), tc.line)
		}
	}
}

func TestTheClusterIsScraped(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Build{})
	logging(t, m, &lines{}, "info").Scrape(observe.Status{Cluster: func() cluster.Status {
		return cluster.Status{
			Votes: true, HasLeader: true, Connected: true, WatchRestarts: 4, Fatal: errors.New("over"), Lease: 7 * time.Second,
			Voters: []cluster.Voter{{Name: "a", Healthy: true}, {Name: "b", Healthy: true}, {Name: "c"}}, Members: 9, Epoch: 5, Primary: 11, Replicas: 22,
		}
	}})
	for _, tc := range []struct {
		metric string
		labels []string
		want   float64
	}{
		{"cluster_members", nil, 9},
		{"cluster_voters", nil, 3},
		{"cluster_healthy_voters", nil, 2},
		{"cluster_is_voter", nil, 1},
		{"cluster_has_leader", nil, 1},
		{"cluster_connected", nil, 1},
		{"cluster_watch_restarts_total", nil, 4},
		{"cluster_etcd_failed", nil, 1},
		{"cluster_lease_remaining_seconds", nil, 7},
		{"ring_epoch", nil, 5},
		{"ring_partitions", []string{"role", "primary"}, 11},
		{"ring_partitions", []string{"role", "replica"}, 22},
	} {
		if got := value(t, m, tc.metric, tc.labels...); got != tc.want {
			t.Errorf("%s%q is %v, want %v", tc.metric, tc.labels, got, tc.want)
		}
	}
}

func TestEtcdsOwnMetricsAreServed(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Build{})
	logging(t, m, &lines{}, "info").Scrape(observe.Status{Cluster: func() cluster.Status { return cluster.Status{} }})
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "etcd_server_has_leader" {
			return
		}
	}
	t.Error("etcd_server_has_leader is missing")
}
