package observe

import (
	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// ClusterEvents logs what this node's part in the agreement meets. What can be counted is in its Status.
func (o *Observer) ClusterEvents() cluster.Events {
	return cluster.Events{
		Log: func(level, message string, of []any) {
			of = append([]any{"message", message}, of...)
			if level == "warn" {
				o.logger.Warn("etcd warns", of...)
				return
			}
			o.logger.Error("etcd reports an error", of...)
		},
		Fatal: func(err error) {
			o.logger.Error("this node's etcd is over; keys are served, and the other voters decide without it, until the node is started again", "error", err)
		},
		WatchLost: func(cause error) {
			o.logger.Warn("etcd does not answer; changes of members and ring come late", "error", cause)
		},
		LeaseLost: func(cause error) {
			o.logger.Warn("the sign of life in etcd is lost; trying again", "error", cause)
		},
		Defragmented: func(before, after int64, err error) {
			if err != nil {
				o.logger.Warn("etcd's file could not be made smaller", "bytes", before, "error", err)
				return
			}
			o.logger.Info("etcd's file was made smaller", "bytes_before", before, "bytes", after)
		},
	}
}

func (o *Observer) ofCluster(s *telemetry.Scrape, at cluster.Status) {
	m := o.metrics
	healthy := 0
	for _, v := range at.Voters {
		if v.Healthy {
			healthy++
		}
	}
	s.Gauge(m.ClusterMembers, float64(at.Members))
	s.Gauge(m.ClusterVoters, float64(len(at.Voters)))
	s.Gauge(m.ClusterHealthyVoters, float64(healthy))
	s.Flag(m.ClusterIsVoter, at.Votes)
	s.Flag(m.ClusterHasLeader, at.HasLeader)
	s.Flag(m.ClusterConnected, at.Connected)
	s.Counter(m.ClusterWatchRestarts, float64(at.WatchRestarts))
	s.Flag(m.ClusterEtcdFailed, at.Fatal != nil)
	s.Gauge(m.ClusterLease, at.Lease.Seconds())
	s.Gauge(m.RingEpoch, float64(at.Epoch))
	s.Gauge(m.RingPartitions, float64(at.Primary), telemetry.RolePrimary)
	s.Gauge(m.RingPartitions, float64(at.Replicas), telemetry.RoleReplica)
}
