package telemetry

func (f *families) peer() []Metric {
	peer := []Label{Nodes}
	return []Metric{
		{
			Name: "peer_up", Unit: "0 or 1", Labels: peer, Essential: true, into: &f.PeerUp,
			Help: "1 while the other node answers this one's heartbeats.",
			Use:  "0 as seen from all others: the node is down; from one only: look at the network between the two.",
		},
		{
			Name: "peer_round_trip_seconds", Unit: "seconds", Labels: peer, into: &f.PeerRoundTrip,
			Help: "Time of a heartbeat there and back, smoothed.",
			Use:  "Every write waits for one or two of these to a majority; far above the network's own: the other node is short of processor time.",
		},
		{
			Name: "peer_queue_length", Unit: "messages", Labels: peer, into: &f.PeerQueue,
			Help: "Messages that wait to be sent to the other node.",
			Use:  "Growing: the node, or the way to it, is too slow; beyond a limit they are turned away, see peer_overloads_total.",
		},
		{
			Name: "peer_pending_messages", Unit: "messages", Labels: peer, into: &f.PeerPending,
			Help: "Messages to the other node that wait for their answer.",
			Use:  "Growing while the rate does not: the node is slow.",
		},
		{
			Name: "peer_streams", Unit: "values", Labels: peer, into: &f.PeerStreams,
			Help: "Long values on their way to or from the other node.",
			Use:  "Long-lived ones: slow clients, or a slow disk there.",
		},
		{
			Name: "peer_request_duration_seconds", Unit: "seconds", Labels: []Label{Requests}, Essential: true, buckets: durations(), into: &f.PeerDuration,
			Help: "Time that a question to another node took, to its answer; of a read, until its bytes could flow.",
			Use:  "accept follows the other nodes' journals, look and prepare the network; carry and get are whole operations there.",
		},
		{
			Name: "peer_messages_total", Unit: "messages", Labels: []Label{Messages, Directions}, into: &f.PeerMessages,
			Help: "Messages to and from other nodes, questions and answers alike, by what is asked.",
			Use:  "Against peer_frames_total: how many travel together.",
		},
		{
			Name: "peer_frames_total", Unit: "frames", Labels: []Label{Directions}, into: &f.PeerFrames,
			Help: "Frames to and from other nodes: batches of messages, pieces of values, heartbeats.",
			Use:  "Under load, far fewer than messages.",
		},
		{
			Name: "peer_bytes_total", Unit: "bytes", Labels: []Label{Directions}, into: &f.PeerBytes,
			Help: "Bytes in frames to and from other nodes.",
			Use:  "The rate is the bandwidth that replication takes.",
		},
		{
			Name: "peer_refusals_total", Unit: "refusals", Labels: []Label{Refusals}, into: &f.PeerRefusals,
			Help: "Connections, streams and frames that were refused.",
			Use:  "cluster, node, addressee: an address is wrong; stale: a node runs from an older copy of its directory; version: an upgrade got stuck; garbage: something else talks to the peer port.",
		},
		{
			Name: "peer_downs_total", Unit: "times", Labels: []Label{Downs}, into: &f.PeerDowns,
			Help: "Times that another node went down, as seen from here.",
			Use:  "silent: it hangs, or the network does; broken: its process ended; stopped: it was told to.",
		},
		{
			Name: "peer_overloads_total", Unit: "messages", into: &f.PeerOverloads,
			Help: "Messages that were turned away: too many waited for one peer, or too many of one peer's were worked on here.",
			Use:  "A node is too slow for what is asked of it.",
		},
	}
}
