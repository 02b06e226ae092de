// Package peer is the wire between nodes: a server that answers for this node, and a client for each other one.
//
// Small operations share one stream a peer (Talk). Each caller leaves its envelope in an outbox; one goroutine takes whatever
// waits there and sends it as one batch. So the cost of a system call, a frame and a wake-up is shared exactly when the load is high, and
// nobody waits for company when it is low. Answers travel alike, in the order in which they are ready. Values that are too long for an
// envelope have a stream each (Stage, Fetch), on a connection of their own and under flow control, so that neither end holds more than a
// window of them, and what is small does not wait behind what is long.
//
// Whether the other node is alive is found out by heartbeats of our own, on a stream that shares nothing with the small operations but
// the connection (Pulse): they overtake whatever is queued, and are answered by a goroutine that does nothing else. Silence for DownAfter, or a
// broken connection, ends the session: all that is pending fails at once, and what is asked from then on fails without waiting,
// until a new session stands. Errors tell what was surely not begun there (register.ErrUnreachable) from what may have been.
//
// A session is between two lives. Each stream begins with a Hello that names both nodes, the cluster, the wire's version and
// the start numbers, and is refused if any of them is wrong: another cluster, an unknown node, a node restored from an old disk image
// whose start number is lower than one heard before. An envelope therefore never reaches another life than the one it was meant
// for, and is never sent twice.
//
// The room knows nothing of quorums, and retries nothing but connections.
package peer
