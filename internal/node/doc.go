// Package node builds one node of the parts in the other rooms and runs it.
//
// It is the only place where their names meet: store below replica below coordinator below api, dressed in one function (dress.go) by
// observe. A node begins by taking its data directory: the lock, so that no other process writes there, and the identity (identity.go), so that it
// never serves what belongs to another. It binds its ports first, since a busy port is known at once, and ends in the
// opposite order: first it says that it is not ready, then it answers what has begun, then it puts the store to rest.
//
// On its first start a node does not know its cluster, not even the seed by which keys are hashed; so the API is opened, to say what is waited
// for, before there is a store (gate.go), and all else is built once the cluster has formed (form.go). What was agreed then is written down in the data
// directory (view.go): from the second start on the node serves with that at once, and etcd, which may have no quorum, tells it of
// changes when it can. What it takes in goes to disk first, so that it never wakes up with an older table than it has gone by.
package node
