// Package cluster keeps what all nodes must agree on: the cluster's settings, its members and their numbers, and the ring table.
//
// The agreement is etcd's (Ongaro and Ousterhout, 'In Search of an Understandable Consensus Algorithm', 2014), which runs inside
// some of the nodes, the voters. All nodes are clients of the voters. Nothing of a key and nothing of a request is kept here, so
// etcd may be slow, or away, and reads and writes go on: without it only the membership and the ring stand still. That is why a
// restart needs no answer from etcd (Start, with what the data directory remembers), why the trouble of the etcd inside this node
// ends neither the process nor what it serves, and why the timeouts here are patient.
//
// A new cluster forms once, in this order:
//
//	meet       new voters answer each other on the peer port, before any of them starts its etcd
//	agree      the first proposal of settings wins, by a transaction; all others adopt it or refuse to start
//	register   each node draws a number that no node ever had, and writes down who and where it is
//	plan       once every node of -initialCluster has registered, the first table is made
//
// The meeting closes a hole of etcd's: a voter that lost its files and is started with its old command has the same identity but no
// memory of its votes. It would be noticed by etcd only if another voter happens to answer at that moment. Here a voter without files
// starts its etcd only after each other voter has answered, and an answer tells whether the cluster exists already.
//
// Whatever is not agreed upon any more is found out by reading: a watch tells of changes soon, but may be late for ever, so all
// is read anew, linearizably, after each loss of the watch and once in a while.
package cluster
