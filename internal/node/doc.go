// Package node builds one node of the parts in the other rooms and runs it.
//
// It is the only place where their names meet: store below replica below coordinator below api, dressed in one function (dress.go) by
// observe. A node begins by taking its data directory: the lock, so that no other process writes there, and the identity (identity.go), so that it
// never serves what belongs to another. It binds its port before it opens the store, since a busy port is known at once, and ends in the
// opposite order: first it says that it is not ready, then it answers what has begun, then it puts the store to rest.
package node
