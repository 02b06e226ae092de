package telemetry

// The rows of the table, room by room. They are long because they are many, and every text is for an operator.

func (f *families) http() []Metric {
	bodies := []Label{{Routes.Name, []string{Routes.Values[RouteKey], "other"}}}
	return []Metric{
		{
			Name: "http_requests_total", Unit: "requests", Labels: []Label{Routes, Methods, Codes}, Essential: true, fold: foldRequestCode, into: &f.HTTPRequests,
			Help: "Requests that were answered, by status code; 499 stands for a client that went away first.",
			Use:  "Rate is the load; the share of 5xx on /{key} is the error budget.",
		},
		{
			Name: "http_request_duration_seconds", Unit: "seconds", Labels: []Label{Routes, Methods, CodeClasses}, Essential: true, fold: foldDuration,
			buckets: durations(), into: &f.HTTPDuration,
			Help: "Time from the request's header to the last byte of its answer.",
			Use:  "p50, p99 and p99.9 by route and method; exemplars lead to a trace.",
		},
		{
			Name: "http_requests_in_flight", Unit: "requests", Labels: []Label{Routes}, Essential: true, into: &f.HTTPInFlight,
			Help: "Requests that are being answered now.",
			Use:  "Growing while the rate does not: something below is slow.",
		},
		{
			Name: "http_request_body_bytes", Unit: "bytes", Labels: bodies, buckets: sizes(), into: &f.HTTPRequestBytes,
			Help: "Sizes of request bodies that were not empty, as far as they were read.",
			Use:  "The sum's rate is the bandwidth in; the shape tells how large values are.",
		},
		{
			Name: "http_response_body_bytes", Unit: "bytes", Labels: bodies, buckets: sizes(), into: &f.HTTPResponseBytes,
			Help: "Sizes of response bodies that were not empty, as far as they were sent.",
			Use:  "The sum's rate is the bandwidth out.",
		},
		{
			Name: "http_requests_rejected_total", Unit: "requests", Labels: []Label{Rejections}, into: &f.HTTPRejected,
			Help: "Requests that were refused before any work was done for them.",
			Use:  "overload: add nodes or slow the clients; bad_key, bad_request, too_large: a client is wrong.",
		},
		{
			Name: "http_slow_requests_total", Unit: "requests", Labels: []Label{Routes}, into: &f.HTTPSlow,
			Help: "Requests that took longer than the threshold above which they are logged.",
			Use:  "Look for 'slow request' in the log: the lines carry trace ids.",
		},
		{
			Name: "http_panics_total", Unit: "panics", into: &f.HTTPPanics,
			Help: "Requests that ended in a panic, which was caught and answered with 500.",
			Use:  "Any is a bug: the log has the stack.",
		},
	}
}

func (f *families) coordinator() []Metric {
	return []Metric{
		{
			Name: "coordinator_ops_total", Unit: "operations", Labels: []Label{Ops, Consistency, Results}, Essential: true, fold: foldOperation, into: &f.CoordinatorOps,
			Help: "Operations on keys, by how they ended.",
			Use:  "unavailable, unknown, full, overload, damaged and error are the node's fault; ok, not_found and precondition are answers, client is the client's.",
		},
		{
			Name: "coordinator_op_duration_seconds", Unit: "seconds", Labels: []Label{Ops, Consistency}, Essential: true, fold: foldOperation,
			buckets: durations(), into: &f.CoordinatorDuration,
			Help: "Time from the start of an operation to its outcome; of a get, to the first byte.",
			Use:  "Against http_request_duration_seconds: what remains is the client's share.",
		},
		{
			Name: "coordinator_quorum_duration_seconds", Unit: "seconds", Labels: []Label{Phases}, buckets: durations(), into: &f.QuorumDuration,
			Help: "Time from the start of one phase of a round to the answer that decided it.",
			Use:  "accept follows the journals of the replicas, prepare and look follow the network.",
		},
		{
			Name: "coordinator_silences_total", Unit: "messages", Labels: []Label{Phases}, into: &f.ReplicaSilences,
			Help: "Messages to replicas that got no answer.",
			Use:  "Replicas that are down, damaged or too slow; the quorum may still be met.",
		},
		{
			Name: "coordinator_turn_wait_seconds", Unit: "seconds", buckets: durations(), into: &f.TurnWait,
			Help: "Time that writes waited for others of this node upon the same key.",
			Use:  "High: few keys take most of the writes.",
		},
		{
			Name: "coordinator_overloads_total", Unit: "operations", Labels: []Label{Overloads}, into: &f.CoordinatorOverload,
			Help: "Operations that were turned away: too many under way, too many waiting for one key, or waiting for it too long.",
			Use:  "operations: add nodes; turn and patience: one key is written by too many.",
		},
		{
			Name: "coordinator_forwards_total", Unit: "operations", Labels: []Label{Forwards}, into: &f.Forwards,
			Help: "Operations that this node had another one coordinate: it has no copy of the key, or another replica is preferred for writes.",
			Use:  "Behind a plain load balancer most operations are; a client that asks the right node saves a hop.",
		},
		{
			Name: "coordinator_takeovers_total", Unit: "turns", Labels: []Label{Takeovers}, into: &f.Takeovers,
			Help: "Times that an operation's coordinator did not bring it to its end and another one went on with it.",
			Use:  "late, lost: a node is stuck or died amid its work; unreachable: it is down and this node does not know yet.",
		},
		{
			Name: "coordinator_hedges_total", Unit: "messages", into: &f.Hedges,
			Help: "Messages to replicas beyond the nearest majority, as that was late, lacked an answer, or did not agree.",
			Use:  "Steady without failures: some replica is slow.",
		},
		{
			Name: "coordinator_operations", Unit: "operations", into: &f.Operations,
			Help: "Operations under way, waiting ones included.",
			Use:  "Against coordinator_limit_operations: saturation.",
		},
		{
			Name: "coordinator_limit_operations", Unit: "operations", into: &f.OperationsLimit,
			Help: "Operations that may be under way at the same time.",
			Use:  "For comparison.",
		},
		{
			Name: "coordinator_waiting_operations", Unit: "operations", into: &f.TurnsWaiting,
			Help: "Writes that wait for their key's turn now.",
			Use:  "Growing: one key is written faster than it can be.",
		},
	}
}

func (f *families) register() []Metric {
	return []Metric{
		{
			Name: "register_ballot_conflicts_total", Unit: "conflicts", Labels: []Label{Phases}, into: &f.RegisterConflicts,
			Help: "Messages that a replica refused because it had seen a higher ballot.",
			Use:  "Several coordinators work on the same keys at once.",
		},
		{
			Name: "register_retries_total", Unit: "rounds", into: &f.RegisterRetries,
			Help: "Rounds that an operation ran beyond its first.",
			Use:  "Rises with conflicts and with writes whose accept was cut short.",
		},
		{
			Name: "register_settles_total", Unit: "rounds", into: &f.RegisterSettles,
			Help: "Rounds that proposed anew a state that was found unsettled.",
			Use:  "Steady settling under no failures: readers meet writers on the same keys.",
		},
		{
			Name: "register_unknown_total", Unit: "writes", into: &f.RegisterUnknown,
			Help: "Writes of which nobody can tell whether they were, or will be, applied.",
			Use:  "Clients got 504 and must read before they write again.",
		},
	}
}

func (f *families) replica() []Metric {
	return []Metric{
		{
			Name: "replica_wait_seconds", Unit: "seconds", Labels: []Label{Phases}, buckets: durations(), into: &f.ReplicaWait,
			Help: "Time that messages waited for others of their key, which read the disk or were being made durable.",
			Use:  "High: the same keys are asked for by many at once.",
		},
		{
			Name: "replica_waiting_requests", Unit: "requests", into: &f.ReplicaWaiting,
			Help: "Messages that wait for their key's turn now.",
			Use:  "Growing: the disk does not keep up.",
		},
		{
			Name: "replica_promises", Unit: "keys", into: &f.ReplicaPromises,
			Help: "Keys of which more is remembered than the disk tells.",
			Use:  "Memory; it shrinks as the floor rises.",
		},
		{
			Name: "replica_clock_ahead_seconds", Unit: "seconds", into: &f.ReplicaAhead,
			Help: "How far the hybrid clock is ahead of this machine's clock.",
			Use:  "Much more than a few seconds: some node's clock is, or was, wrong.",
		},
		{
			Name: "replica_overwritten_damages_total", Unit: "copies", into: &f.ReplicaAnew,
			Help: "Damaged copies without any other that gave way to a new write.",
			Use:  "What was there is lost; quarantine/ keeps the file.",
		},
		{
			Name: "replica_fetches_total", Unit: "values", Labels: []Label{DoneFailed}, into: &f.ReplicaFetches,
			Help: "Values whose bytes were taken from another replica because the copy here was of another version, or could not be.",
			Use:  "Follows outages and settles; error: the replicas that have the value cannot give it.",
		},
		{
			Name: "replica_ceiling_raises_total", Unit: "raises", Labels: []Label{DoneFailed}, into: &f.CeilingRaises,
			Help: "Times that the promise ceiling was raised, or could not be.",
			Use:  "About one every few seconds while there are writes.",
		},
		{
			Name: "replica_ceiling_raise_duration_seconds", Unit: "seconds", buckets: durations(), into: &f.CeilingDuration,
			Help: "Time for making a higher promise ceiling durable.",
			Use:  "Longer than a few seconds: writes begin to wait for it.",
		},
	}
}

func (f *families) store() []Metric {
	return []Metric{
		{
			Name: "store_ops_total", Unit: "operations", Labels: []Label{StoreOps, Results}, fold: foldStore, into: &f.StoreOps,
			Help: "Calls of the store, by how they ended.",
			Use:  "full, damaged and error name the trouble before clients do.",
		},
		{
			Name: "store_op_duration_seconds", Unit: "seconds", Labels: []Label{StoreOps}, Essential: true, buckets: durations(), into: &f.StoreDuration,
			Help: "Time that a call of the store took; of a put, until it was on stable storage, of a read, until its bytes could flow.",
			Use:  "put follows journal_sync_duration_seconds; read follows the page cache.",
		},
		{
			Name: "store_keys", Unit: "keys", Essential: true, into: &f.StoreKeys,
			Help: "Keys that have a value here.",
			Use:  "Capacity, together with disk_free_inodes.",
		},
		{
			Name: "store_tombstones", Unit: "keys", into: &f.StoreTombstones,
			Help: "Deleted keys whose tombstone is still kept here.",
			Use:  "Each costs an inode until it is proven everywhere.",
		},
		{
			Name: "store_value_bytes", Unit: "bytes", Essential: true, into: &f.StoreValueBytes,
			Help: "Sum of the lengths of all values here.",
			Use:  "Against disk_size_bytes: what files cost beyond their bytes.",
		},
		{
			Name: "store_pending_files", Unit: "files", into: &f.StorePending,
			Help: "Key files that are still to be written behind their journal entries.",
			Use:  "Grows while the file system is slower than the journal; writes wait at the journal's limit.",
		},
		{
			Name: "store_filed_total", Unit: "files", Labels: []Label{DoneFailed}, into: &f.StoreFiled,
			Help: "Key files that were written behind their journal entries, or could not be.",
			Use:  "error: the log says which and why; the entry stays in the journal.",
		},
		{
			Name: "store_filed_duration_seconds", Unit: "seconds", buckets: durations(), into: &f.StoreFiledDuration,
			Help: "Time for writing one key file behind its journal entry.",
			Use:  "Against the rate of puts: how near the file system is to its limit.",
		},
		{
			Name: "store_staging_files", Unit: "files", into: &f.StagingFiles,
			Help: "Large values that are being uploaded, or wait for their write to be decided.",
			Use:  "Slow uploads.",
		},
		{
			Name: "store_staging_bytes", Unit: "bytes", into: &f.StagingBytes,
			Help: "Bytes of the values in staging.",
			Use:  "Space that comes back by itself.",
		},
		{
			Name: "store_damaged_files", Unit: "files", Essential: true, into: &f.StoreDamaged,
			Help: "Copies here that are known to be damaged and wait for repair.",
			Use:  "Not 0: the disk is rotten or was tampered with; the log names the files, quarantine/ keeps them.",
		},
		{
			Name: "store_damages_total", Unit: "files", Labels: []Label{DetectedBy}, into: &f.StoreDamages,
			Help: "Damaged copies found, by what found them.",
			Use:  "Any increase: check the disk.",
		},
		{
			Name: "store_failed", Unit: "0 or 1", Essential: true, into: &f.StoreFailed,
			Help: "1 after a sync failed: the store takes no more writes until the node is replaced or repaired.",
			Use:  "Replace the disk, then the node.",
		},
		{
			Name: "store_checkpoints_total", Unit: "checkpoints", Labels: []Label{DoneFailed}, into: &f.Checkpoints,
			Help: "Checkpoints of the journal that ended.",
			Use:  "error, or none while journal_size_bytes grows: the log says why.",
		},
		{
			Name: "store_checkpoint_duration_seconds", Unit: "seconds", buckets: durations(), into: &f.CheckpointDuration,
			Help: "Time from a checkpoint's new segment to the dropped old ones.",
			Use:  "Longer than the journal takes to fill: writes wait.",
		},
		{
			Name: "store_checkpoint_age_seconds", Unit: "seconds", into: &f.CheckpointAge,
			Help: "Time since the last checkpoint was saved.",
			Use:  "Together with journal_size_bytes: how long a recovery would take.",
		},
		{
			Name: "store_recovery_duration_seconds", Unit: "seconds", into: &f.RecoveryDuration,
			Help: "Time that the replay of the journal took when this process started.",
			Use:  "Part of every unplanned restart.",
		},
		{
			Name: "store_recovery_entries", Unit: "entries", into: &f.RecoveryEntries,
			Help: "Journal entries that were replayed when this process started.",
			Use:  "0 after a clean stop.",
		},
		{
			Name: "store_recovery_torn_bytes", Unit: "bytes", into: &f.RecoveryTorn,
			Help: "Bytes of an unfinished, never acknowledged batch that were cut off when this process started.",
			Use:  "Normal after a crash, 0 otherwise.",
		},
	}
}

func (f *families) journal() []Metric {
	return []Metric{
		{
			Name: "journal_syncs_total", Unit: "syncs", Labels: []Label{DoneFailed}, Essential: true, into: &f.JournalSyncs,
			Help: "Batches of the journal that were synced to stable storage, or failed to be.",
			Use:  "Per acknowledged write: 1 alone, far below 1 under load; error ends writing.",
		},
		{
			Name: "journal_sync_duration_seconds", Unit: "seconds", Essential: true, buckets: durations(), into: &f.JournalSyncDuration,
			Help: "Time of the sync of one batch.",
			Use:  "p99 over 100 ms: the disk is too slow or too busy; it bounds the latency of every write.",
		},
		{
			Name: "journal_batch_entries", Unit: "entries", buckets: doubling(1, 2, 11), into: &f.JournalBatch,
			Help: "Entries that one sync made durable.",
			Use:  "Grows with the number of writers that wait at once.",
		},
		{
			Name: "journal_wait_seconds", Unit: "seconds", buckets: durations(), into: &f.JournalWait,
			Help: "Time that a put waited for its batch's turn, before the batch was written and synced.",
			Use:  "Above the sync's own time: the journal is full and waits for a checkpoint.",
		},
		{
			Name: "journal_written_bytes_total", Unit: "bytes", into: &f.JournalWritten,
			Help: "Bytes written to the journal.",
			Use:  "Against http_request_body_bytes: the journal's share of what is written.",
		},
		{
			Name: "journal_size_bytes", Unit: "bytes", into: &f.JournalBytes,
			Help: "Size of the journal's live segments.",
			Use:  "Against journal_limit_bytes: at the limit writes wait.",
		},
		{
			Name: "journal_limit_bytes", Unit: "bytes", into: &f.JournalLimit,
			Help: "Size of the journal at which writes wait for the checkpoint.",
			Use:  "For comparison.",
		},
		{
			Name: "journal_entries", Unit: "entries", into: &f.JournalEntries,
			Help: "Entries in the journal's live segments.",
			Use:  "What a recovery would have to replay.",
		},
		{
			Name: "journal_queue_entries", Unit: "entries", into: &f.JournalQueue,
			Help: "Entries that wait for their batch.",
			Use:  "Saturation of the journal.",
		},
		{
			Name: "journal_segments", Unit: "segments", into: &f.JournalSegments,
			Help: "Live segments of the journal.",
			Use:  "More than a few: checkpoints do not come to an end.",
		},
	}
}

func (f *families) cache() []Metric {
	return []Metric{
		{
			Name: "cache_hits_total", Unit: "reads", into: &f.CacheHits,
			Help: "Reads that were answered from memory.",
			Use:  "Hits per read: whether a larger cache would pay.",
		},
		{
			Name: "cache_misses_total", Unit: "reads", into: &f.CacheMisses,
			Help: "Reads that went to the file system.",
			Use:  "With cache_hits_total, the hit ratio.",
		},
		{
			Name: "cache_evictions_total", Unit: "entries", into: &f.CacheEvictions,
			Help: "Entries that gave way to others.",
			Use:  "Many per hit: the cache is too small to help.",
		},
		{
			Name: "cache_entries", Unit: "entries", into: &f.CacheEntries,
			Help: "Keys whose value is in the cache.",
			Use:  "For the mean size of an entry.",
		},
		{
			Name: "cache_size_bytes", Unit: "bytes", into: &f.CacheBytes,
			Help: "Memory that the cache's entries take.",
			Use:  "At the limit it is in full use.",
		},
		{
			Name: "cache_limit_bytes", Unit: "bytes", into: &f.CacheLimit,
			Help: "Memory that the cache may take.",
			Use:  "For comparison.",
		},
	}
}

func (f *families) cluster() []Metric {
	return []Metric{
		{
			Name: "cluster_members", Unit: "nodes", into: &f.ClusterMembers,
			Help: "Nodes of the cluster, as far as this one knows.",
			Use:  "The same on all nodes; the number that discovery finds may be lower.",
		},
		{
			Name: "cluster_voters", Unit: "nodes", into: &f.ClusterVoters,
			Help: "Nodes with an etcd inside that votes.",
			Use:  "A majority of these must be well before members or the ring can change.",
		},
		{
			Name: "cluster_healthy_voters", Unit: "nodes", Essential: true, into: &f.ClusterHealthyVoters,
			Help: "Voters that answer this node and know a leader.",
			Use:  "Less than a majority of cluster_voters: start the missing ones; keys are served meanwhile.",
		},
		{
			Name: "cluster_is_voter", Unit: "0 or 1", into: &f.ClusterIsVoter,
			Help: "1 while this node's own etcd votes.",
			Use:  "The sum over all nodes is how many of cluster_voters are at work.",
		},
		{
			Name: "cluster_has_leader", Unit: "0 or 1", Essential: true, into: &f.ClusterHasLeader,
			Help: "1 while some voter that answers this node knows a leader.",
			Use:  "0 for more than seconds: the voters have no majority; nothing but reads and writes of keys goes on.",
		},
		{
			Name: "cluster_connected", Unit: "0 or 1", Essential: true, into: &f.ClusterConnected,
			Help: "1 while this node has read what all agree on and watches it for changes.",
			Use:  "0: it goes by what it knew last; /_cluster_status and the log say why.",
		},
		{
			Name: "cluster_watch_restarts_total", Unit: "restarts", into: &f.ClusterWatchRestarts,
			Help: "Times that the watch for changes broke and all was read anew.",
			Use:  "A few with each restart of a voter; steadily rising: the way to the voters is bad.",
		},
		{
			Name: "cluster_etcd_failed", Unit: "0 or 1", Essential: true, into: &f.ClusterEtcdFailed,
			Help: "1 after this node's own etcd failed; the node goes on as a client of the other voters.",
			Use:  "The log says why: make the disk good, then start the node again.",
		},
		{
			Name: "cluster_lease_remaining_seconds", Unit: "seconds", into: &f.ClusterLease,
			Help: "Time until this node's sign of life in etcd goes away unless it is renewed; 0 if there is none.",
			Use:  "Below a few seconds: etcd does not answer in time.",
		},
		{
			Name: "ring_epoch", Unit: "epoch", Essential: true, into: &f.RingEpoch,
			Help: "Epoch of the ring table that this node learned of last; 0 before the first.",
			Use:  "Different between nodes for more than seconds: the lower ones are cut off from etcd.",
		},
		{
			Name: "ring_partitions", Unit: "partitions", Labels: []Label{Roles}, Essential: true, into: &f.RingPartitions,
			Help: "Partitions that this node holds, by whether it comes first for them or keeps a further copy.",
			Use:  "The primaries of all nodes sum up to -partitions; the shares follow -weight.",
		},
	}
}

func (f *families) disk() []Metric {
	return []Metric{
		{
			Name: "disk_size_bytes", Unit: "bytes", Essential: true, into: &f.DiskSize,
			Help: "Size of the file system under the data directory.",
			Use:  "For the share that is free.",
		},
		{
			Name: "disk_free_bytes", Unit: "bytes", Essential: true, into: &f.DiskFree,
			Help: "Space that this process may still use.",
			Use:  "predict_linear tells when it ends.",
		},
		{
			Name: "disk_reserve_bytes", Unit: "bytes", into: &f.DiskReserve,
			Help: "Free space below which writes are refused with 507.",
			Use:  "The real end of disk_free_bytes.",
		},
		{
			Name: "disk_inodes", Unit: "inodes", into: &f.DiskInodes,
			Help: "Inodes of the file system; 0 where it does not count them.",
			Use:  "Every key takes one.",
		},
		{
			Name: "disk_free_inodes", Unit: "inodes", Essential: true, into: &f.DiskFreeInodes,
			Help: "Inodes that are still free.",
			Use:  "Small values run out of inodes before they run out of bytes.",
		},
		{
			Name: "disk_reserve_inodes", Unit: "inodes", into: &f.DiskReserveInodes,
			Help: "Free inodes below which writes are refused with 507.",
			Use:  "The real end of disk_free_inodes.",
		},
		{
			Name: "disk_full", Unit: "0 or 1", Essential: true, into: &f.DiskFull,
			Help: "1 while writes are refused because the reserve was reached.",
			Use:  "Delete, or grow the disk; writes come back by themselves.",
		},
	}
}

func (f *families) node(build Build) []Metric {
	info := []Label{{"version", []string{build.Version}}, {"revision", []string{build.Revision}}, {"go_version", []string{goVersion()}}}
	return []Metric{
		{
			Name: "state", Unit: "0 or 1", Labels: []Label{States}, Essential: true, into: &f.State,
			Help: "1 for the state that the node is in, 0 for all others.",
			Use:  "What /_ready says, over time.",
		},
		{
			Name: "ready", Unit: "0 or 1", Essential: true, into: &f.Ready,
			Help: "1 while /_ready answers 200.",
			Use:  "0 for longer than a restart: ask /_ready for the reason.",
		},
		{
			Name: "start_timestamp_seconds", Unit: "seconds", into: &f.StartTime,
			Help: "When this node was started, in seconds since 1970.",
			Use:  "Restarts.",
		},
		{
			Name: "build_info", Unit: "1", Labels: info, into: &f.BuildInfo,
			Help: "Always 1; the labels say what is running.",
			Use:  "Different versions for long: an upgrade got stuck.",
		},
	}
}

func (f *families) telemetry() []Metric {
	return []Metric{
		{
			Name: "telemetry_spans_total", Unit: "spans", Labels: []Label{SpanResults}, into: &f.Spans,
			Help: "Spans that ended, and what became of them: exported, failed to be exported, or dropped because the queue was full.",
			Use:  "failed or dropped: the collector is away or too slow; requests do not suffer.",
		},
		{
			Name: "telemetry_span_queue_length", Unit: "spans", into: &f.SpanQueue,
			Help: "Spans that wait to be exported.",
			Use:  "Near its capacity spans are about to be dropped.",
		},
		{
			Name: "telemetry_span_queue_capacity", Unit: "spans", into: &f.SpanQueueLimit,
			Help: "Spans that may wait to be exported; 0 while traces go nowhere.",
			Use:  "For comparison.",
		},
		{
			Name: "telemetry_export_duration_seconds", Unit: "seconds", buckets: durations(), into: &f.ExportDuration,
			Help: "Time for exporting one batch of spans, retries included.",
			Use:  "The collector's health as seen from here.",
		},
		{
			Name: "telemetry_last_export_success_timestamp_seconds", Unit: "seconds", into: &f.ExportSuccess,
			Help: "When spans were last exported, in seconds since 1970; 0 for never.",
			Use:  "Old while telemetry_spans_total grows: traces are being lost.",
		},
		{
			Name: "log_messages_total", Unit: "messages", Labels: []Label{Levels}, into: &f.LogMessages,
			Help: "Log messages written, by level.",
			Use:  "A rising rate of warn or error is worth a look before an alert says so.",
		},
	}
}
