package main

import (
	"errors"
	"fmt"
	"slices"
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

// checkMember judges whether -initialCluster, if given, names this node.
func (c Config) checkMember() error {
	if len(c.InitialCluster) == 0 || slices.ContainsFunc(c.InitialCluster, func(m Member) bool { return m.Name == c.Name }) {
		return nil
	}
	return c.setting("initialCluster").blame(fmt.Errorf("does not name this node, %q: add it to the list, or start with the -name that it has there", c.Name))
}

// checkSingle refuses what asks for more than one node. It goes when clusters come.
func (c Config) checkSingle() error {
	single := errors.New("this version runs a single node; clusters come with the next one")
	if c.Add {
		return c.setting("add").blame(single)
	}
	if len(c.InitialCluster) > 1 {
		return c.setting("initialCluster").blame(single)
	}
	return nil
}
