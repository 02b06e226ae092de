package peer

import "time"

// Version is the wire's. Nodes of different versions do not talk.
const Version = 1

// Heartbeats.
const (
	BeatEvery = 200 * time.Millisecond // between two heartbeats
	DownAfter = 700 * time.Millisecond // of silence
	watchTick = 50 * time.Millisecond  // at which silence is added up
)

// Connections.
const (
	attemptFirst = 300 * time.Millisecond // that a connection may take until the handshake is over, at first
	attemptMost  = 1200 * time.Millisecond
	retryFirst   = 25 * time.Millisecond // between two attempts, at first
	retryMost    = 200 * time.Millisecond
	greetLimit   = 5 * time.Second // for whoever connects, to begin as HTTP/2 does
	drainLimit   = 5 * time.Second // for what has begun, when the server stops
	answerLimit  = 5 * time.Second // keep-alive of the server: a client's machine that vanished is noticed in twice this time
)

// Queues, per peer.
const (
	waitingMax      = 4096     // envelopes that wait to be sent
	waitingBytes    = 16 << 20 // of them
	pendingMax      = 8192     // operations that were sent and wait for their answer
	handlersMax     = 4096     // operations of one peer that are being worked on here
	answersMax      = 2 * handlersMax
	answersBytes    = 8 << 20 // of answers that wait; beyond it, values are to be fetched
	batchEnvelopes  = 512     // in one batch
	batchBytes      = 512 << 10
	envelopeMax     = 2 << 20         // bytes of one envelope: a ring table, or a value with its metadata
	frameMax        = 4 << 20         // bytes of one message on the wire; larger ones are refused
	timeoutMost     = 5 * time.Minute // for an operation, whatever its caller says
	helloMax        = 4 << 10
	nameMax         = 256 // bytes of a name or release in a Hello
	streamWindow    = 256 << 10
	unsentBytes     = 128 << 10 // that wait in the kernel to be sent
	connectionAhead = 4 << 20   // window of a whole connection
)

// Values on streams of their own.
const (
	streamsMax = 512 // values on their way from or to one peer
	pieceBytes = 64 << 10
	stallLimit = 30 * time.Second // without any progress, of a stage or fetch
)

// Faults on the wire.
const (
	faultDepth = 8    // of errors that wrap each other; deeper ones are told as text
	faultParts = 32   // errors in one fault
	faultText  = 1024 // bytes
)
