package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Member is one node of -initialCluster.
type Member struct {
	Name string
	Host string
	Port int // of its etcd, for its peers
}

// members reads name=http://host:port,... as etcd does. Each name is there once.
func members(text string) ([]Member, error) {
	if text == "" {
		return nil, nil
	}
	var list []Member
	for part := range strings.SplitSeq(text, ",") {
		m, err := member(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(o Member) bool { return o.Name == m.Name }) {
			return nil, fmt.Errorf("node %q is there twice", m.Name)
		}
		list = append(list, m)
	}
	return list, nil
}

func member(part string) (Member, error) {
	name, url, found := strings.Cut(part, "=")
	if !found {
		return Member{}, fmt.Errorf("%s: write name=http://host:2380, with commas between nodes", shown(part))
	}
	if _, err := nodeName(name); err != nil {
		return Member{}, fmt.Errorf("%s: %w", shown(part), err)
	}
	if rest, secure := strings.CutPrefix(url, "https://"); secure {
		return Member{}, fmt.Errorf("%s: TLS between nodes is not there yet; write http://%s and keep these ports on a private network", shown(part), rest)
	}
	rest, found := strings.CutPrefix(url, "http://")
	if !found {
		return Member{}, fmt.Errorf("%s: the address begins with http://", shown(part))
	}
	h, p, err := hostPort(strings.TrimSuffix(rest, "/"))
	if err != nil {
		return Member{}, fmt.Errorf("%s: %w", shown(part), err)
	}
	return Member{Name: name, Host: h, Port: p}, nil
}

// asMember takes over what -initialCluster, if given, says of this node: the port of its etcd and, without -host, its host.
func (c *Config) asMember() error {
	if len(c.InitialCluster) == 0 {
		return nil
	}
	i := slices.IndexFunc(c.InitialCluster, func(m Member) bool { return m.Name == c.Name })
	if i < 0 {
		return c.setting("initialCluster").blame(fmt.Errorf("does not name this node, %q: add it to the list, or start with the -name that it has there", c.Name))
	}
	self := c.InitialCluster[i]
	if host := c.setting("host"); host.rank == byDefault {
		c.Host, host.Text, host.From = self.Host, self.Host, "-initialCluster"
		c.settle()
	}
	switch etcd := c.setting("etcd-peer-port"); {
	case etcd.rank == byDefault:
		c.EtcdPeerPort, etcd.Text, etcd.From = self.Port, strconv.Itoa(self.Port), "-initialCluster"
	case c.EtcdPeerPort != self.Port:
		return etcd.blame(fmt.Errorf("-initialCluster says %d for this node, and both are the port of its etcd for its peers: make them the same", self.Port))
	}
	return c.checkPorts()
}

// checkAdd refuses to join a running cluster. It goes when clusters can grow.
func (c Config) checkAdd() error {
	if !c.Add {
		return nil
	}
	return c.setting("add").blame(errors.New("this version cannot join a running cluster: start all of its nodes with the same -initialCluster"))
}
