package peer

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/ring"
)

// Reasons for which a connection, a stream or a frame is refused.
const (
	ReasonGarbage   = "garbage"   // not even HTTP/2
	ReasonMalformed = "malformed" // no Hello, or an envelope that cannot be read
	ReasonOversized = "oversized" // a frame above the limit
	ReasonVersion   = "version"   // another version of the wire
	ReasonCluster   = "cluster"   // a node of another cluster
	ReasonNode      = "node"      // a node that is not known, or that claims this node's number
	ReasonAddressee = "addressee" // meant for another node
	ReasonLife      = "life"      // meant for another life of this node
	ReasonStale     = "stale"     // of an earlier life than one heard before: a node that was restored from an old image, most likely
)

// helloKey is the header that carries a Hello.
const helloKey = "hello-bin"

// A refusal is why somebody is not talked to. Its text is for the operator of the one who is refused.
type refusal struct {
	reason string
	text   string
}

func (r *refusal) Error() string { return "refused: " + r.text }

// GRPCStatus is how the refusal reaches the other end.
func (r *refusal) GRPCStatus() *status.Status { return status.New(codes.FailedPrecondition, r.Error()) }

// hello is what this node says of itself to the given life of another; of zeros, in an answer.
func (p *Peers) hello(to ring.NodeID, life uint64) *wire.Hello {
	return &wire.Hello{
		Version: Version, Cluster: p.config.Cluster, Node: uint32(p.config.Node), Name: p.config.Name, Start: p.config.Start,
		Release: p.config.Version, To: uint32(to), ToStart: life,
	}
}

// greeting is a Hello as a header.
func greeting(h *wire.Hello) metadata.MD {
	h.Name, h.Release = shortened(h.GetName()), shortened(h.GetRelease())
	b, err := proto.Marshal(h)
	if err != nil {
		panic("peer: a Hello has no form: " + err.Error()) // it has no text that was not made valid
	}
	return metadata.Pairs(helloKey, string(b))
}

// greeted reads the Hello in a header.
func greeted(header metadata.MD) (*wire.Hello, error) {
	values := header.Get(helloKey)
	if len(values) != 1 || len(values[0]) > helloMax {
		return nil, &refusal{ReasonMalformed, "the stream does not begin with a Hello"}
	}
	h := &wire.Hello{}
	if proto.Unmarshal([]byte(values[0]), h) != nil || h.GetNode() == 0 {
		return nil, &refusal{ReasonMalformed, "the Hello cannot be read"}
	}
	return h, nil
}

// admit judges a Hello, whichever end it comes from, and keeps the highest start number of its node.
func (p *Peers) admit(h *wire.Hello) error {
	node := ring.NodeID(h.GetNode())
	_, member := p.config.Address(node)
	switch {
	case h.GetVersion() != Version:
		return &refusal{ReasonVersion, fmt.Sprintf("it speaks version %d of the wire, %v speaks %d", h.GetVersion(), p.config.Node, Version)}
	case h.GetCluster() != p.config.Cluster:
		return &refusal{ReasonCluster, fmt.Sprintf("it is of cluster %s, %v is of %s", clipped(h.GetCluster()), p.config.Node, p.config.Cluster)}
	case node == p.config.Node || !member:
		return &refusal{ReasonNode, fmt.Sprintf("%v is not known to %v as another member", node, p.config.Node)}
	}
	var known uint64
	if p.config.Started != nil {
		known = p.config.Started(node)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if highest := max(p.starts[node], known); h.GetStart() < highest {
		return &refusal{ReasonStale, fmt.Sprintf("%v has start number %d, but %d was heard of: its directory is an older copy, or a second process runs from one",
			node, h.GetStart(), highest)}
	}
	p.starts[node] = h.GetStart()
	return nil
}

// addressed judges whom a caller's Hello is meant for.
func (p *Peers) addressed(h *wire.Hello) error {
	if to := ring.NodeID(h.GetTo()); to != p.config.Node {
		return &refusal{ReasonAddressee, fmt.Sprintf("it means to speak to %v, but this is %v: its address of that node is wrong", to, p.config.Node)}
	}
	if life := h.GetToStart(); life != 0 && life != p.config.Start {
		return &refusal{ReasonLife, fmt.Sprintf("it means to speak to start %d of %v, but this is %d", life, p.config.Node, p.config.Start)}
	}
	return nil
}

func clipped(s string) string { return s[:min(len(s), nameMax)] }

// refused reports what was refused; other errors it leaves alone.
func (p *Peers) refused(err error, from string) {
	if r, is := errors.AsType[*refusal](err); is && p.config.Events.Refused != nil {
		p.config.Events.Refused(r.reason, from, r.text)
	}
}
