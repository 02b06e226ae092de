package cluster

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
)

// votersOf are the nodes of a new cluster that vote, by name: as many as most allows, and an odd number, because an even one survives
// no more failures than the odd one below it. Only of two nodes both vote: neither can do without the other's agreement.
// Every node finds the same ones, in whatever order it was given the list.
func votersOf(initial []Initial, most int) []Initial {
	sorted := slices.SortedFunc(slices.Values(initial), func(a, b Initial) int { return cmp.Compare(a.Name, b.Name) })
	n := min(len(sorted), most)
	if n%2 == 0 && n > 0 && len(sorted) != 2 {
		n--
	}
	return sorted[:n]
}

// address is where the node's etcd listens for the other voters, as host:port.
func (i Initial) address() string { return net.JoinHostPort(i.Host, strconv.Itoa(i.Port)) }

// peerURL is the same for etcd.
func (i Initial) peerURL() string { return "http://" + i.address() }

// written is the list in a form that can be compared: name=host:port, sorted.
func written(initial []Initial) []string {
	var list []string
	for _, i := range initial {
		list = append(list, i.Name+"="+i.address())
	}
	slices.Sort(list)
	return list
}

// differences tells how a list differs from another, for people; "" if it does not.
func differences(from, list []string) string {
	var parts []string
	if more := without(from, list); len(more) > 0 {
		parts = append(parts, "it lacks "+strings.Join(more, ", "))
	}
	if more := without(list, from); len(more) > 0 {
		parts = append(parts, "it has "+strings.Join(more, ", "))
	}
	return strings.Join(parts, " and ")
}

// without is list but for what is in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

// names are the nodes' names, sorted.
func names(initial []Initial) []string {
	var list []string
	for _, i := range initial {
		list = append(list, i.Name)
	}
	slices.Sort(list)
	return list
}
