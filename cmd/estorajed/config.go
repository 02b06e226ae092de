package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Config is what the command line, the environment and the configuration file ask for, checked and typed. Its
// fields are the rows of the table in flags.go.
type Config struct {
	Command  Command
	Settings []Setting // every flag as text, with its origin, in the order of the table

	Name         string // "" if not given: Named settles it
	DataPath     string
	Host         string // IP address or host name that peers reach this node by
	Port         int
	Bind         string // IP address or host name to listen on; "" is all interfaces, as in package net
	DrainDelay   time.Duration
	MaxValueSize int64 // bytes
	Partitions   int   // a power of two

	LogLevel     string // an hclog level in lower case
	LogFormat    string // text or json
	TraceSample  float64
	OTLPEndpoint string // "" is none

	InitialCluster []Member
	Add            bool
	PeerPort       int
	EtcdClientPort int
	EtcdPeerPort   int
	Replicas       int
	MaxVoters      int
	Zone           string // "" is none
	Weight         float64
	ReplaceAfter   time.Duration
	DrainOnStop    bool
	ScrubPeriod    time.Duration

	debug bool
}

// A Command is what the daemon is asked to do.
type Command int

// Serve is what happens without another word.
const (
	Serve Command = iota
	CheckConfig
	Help
	Version
)

// A Setting is one flag's text and where that came from.
type Setting struct {
	Name string
	Text string
	From string // the flag, the variable, or the file and its line; "default" else

	rank rank
}

// Parse makes a Config of the arguments after the program's name, the environment as NAME=value, and the file that one of
// them names. The command line wins over the environment, that over the file, that over the defaults.
//
// With -help or -version the result holds nothing but the Command. Every error is one line for the user and means exit code 2.
func Parse(args, environ []string, readFile func(path string) ([]byte, error)) (Config, error) {
	command, flags, err := fromArgs(args)
	if err != nil || command == Help || command == Version {
		return Config{Command: command}, err
	}
	variables, err := fromEnvironment(environ)
	if err != nil {
		return Config{}, err
	}
	var lines settings
	if path := layered(configFlag, "", flags, variables); path.Text != "" {
		if lines, err = fromFile(path, readFile); err != nil {
			return Config{}, err
		}
	}

	c := Config{Command: command}
	for _, f := range allFlags() {
		s := layered(f.name, f.fallback, flags, variables, lines)
		if err := f.set(&c, s.Text); err != nil {
			return Config{}, s.blame(err)
		}
		c.Settings = append(c.Settings, s)
	}
	c.settle()
	if err := c.check(); err != nil {
		return Config{}, err
	}
	if c.Name != "" { // else Named goes on
		if err := c.asMember(); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// Named gives c with the node's name settled: the one that was given, else the one stored in the data directory, else the
// host's. Its errors are one line for the user and mean exit code 2.
func (c Config) Named(stored, hostname string) (Config, error) {
	switch {
	case c.Name != "":
	case stored != "":
		c.Name = stored
	default:
		if _, err := nodeName(hostname); err != nil {
			return Config{}, fmt.Errorf("the host's name %s cannot be the node's (%w): give one with -name", shown(hostname), err)
		}
		c.Name = hostname
	}
	c.Settings = slices.Clone(c.Settings)
	if err := c.asMember(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// settle gives the settings that follow from others their values.
func (c *Config) settle() {
	debug, level, bind := c.setting("debug"), c.setting("log-level"), c.setting("bind")
	if c.debug && debug.rank >= level.rank {
		c.LogLevel = "debug"
		level.Text, level.From, level.rank = c.LogLevel, debug.From, debug.rank
	}
	if bind.Text == "" {
		if _, err := netip.ParseAddr(c.Host); err == nil {
			c.Bind = c.Host
		}
		bind.Text = cmp.Or(c.Bind, "*")
	}
}

// check judges what no single flag can tell.
func (c Config) check() error {
	if err := c.checkPorts(); err != nil {
		return err
	}
	return c.checkAdd()
}

func (c Config) checkPorts() error {
	ports := map[int]string{}
	for _, p := range []struct {
		name string
		port int
	}{{"port", c.Port}, {"peer-port", c.PeerPort}, {"etcd-client-port", c.EtcdClientPort}, {"etcd-peer-port", c.EtcdPeerPort}} {
		if other, taken := ports[p.port]; taken {
			return c.setting(p.name).blame(fmt.Errorf("-%s is the same; each listener needs a port of its own", other))
		}
		ports[p.port] = p.name
	}
	return nil
}

// setting finds a flag of the table by its name.
func (c *Config) setting(name string) *Setting {
	for i := range c.Settings {
		if c.Settings[i].Name == name {
			return &c.Settings[i]
		}
	}
	panic("no flag -" + name + " in the table")
}

// blame says which setting err is about and where it came from.
func (s Setting) blame(err error) error {
	if s.rank == byFlag || s.rank == byDefault {
		return fmt.Errorf("-%s %s: %w", s.Name, shown(s.Text), err)
	}
	return fmt.Errorf("-%s %s (from %s): %w", s.Name, shown(s.Text), s.From, err)
}
