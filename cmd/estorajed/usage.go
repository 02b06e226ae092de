package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// What the build writes here with -ldflags "-X main.version=... -X main.revision=..."; a build without has them from Go's own stamp.
var version, revision string

// A build says which one is running.
type build struct {
	Version  string
	Revision string
	Go       string
}

// thisBuild gives version, revision and Go version of the running program; what it was not told is "unknown".
func thisBuild() build {
	b := build{Version: version, Revision: revision, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" {
			b.Version = strings.Trim(info.Main.Version, "()")
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && b.Revision == "" {
				b.Revision = s.Value
			}
		}
	}
	b.Version, b.Revision = cmp.Or(b.Version, "unknown"), cmp.Or(b.Revision, "unknown")
	return b
}

// String is what -version prints.
func (b build) String() string {
	return fmt.Sprintf("estorajed %s (revision %s, %s %s/%s)", b.Version, b.Revision, b.Go, runtime.GOOS, runtime.GOARCH)
}

// writeHelp prints every flag, in groups.
func writeHelp(w io.Writer) {
	io.WriteString(w, `estorajed keeps each key in a file of its own and serves it over HTTP.

usage: estorajed [flags]                run a node
       estorajed check-config [flags]   say what it would run with, and where each value is from
       estorajed -version
       estorajed -help

A flag is written -name value, -name=value or --name value. It may also be a variable of the environment
(-dataPath is ESTORAJED_DATA_PATH; an empty one counts as not set), or a line of the YAML file that -config
names (dataPath: /srv/data). The command line wins over the environment, that over the file.
`)
	for _, g := range table() {
		fmt.Fprintf(w, "\n%s:\n", g.title)
		for _, f := range g.flags {
			fmt.Fprintf(w, "  %-*s%s\n", helpColumn-2, strings.TrimSpace("-"+f.name+" "+f.hint), f.help())
		}
	}
}

// Shape of -help, in characters.
const (
	helpColumn = 29
	helpWidth  = 110
)

// help is the flag's meaning with its default, on a second line where one would be too long.
func (f flag) help() string {
	if f.hint == "" {
		return f.meaning
	}
	note := fmt.Sprintf("(default: %s)", cmp.Or(f.unset, f.fallback))
	if helpColumn+len(f.meaning)+1+len(note) > helpWidth {
		return fmt.Sprintf("%s\n%*s%s", f.meaning, helpColumn, "", note)
	}
	return f.meaning + " " + note
}

// writeConfig prints what Parse made of it all as a file that -config takes, each line with where its value is from.
func writeConfig(w io.Writer, c Config) {
	for _, s := range c.Settings {
		if s.Name == configFlag {
			continue // a file cannot name another one
		}
		from := s.From
		if f, err := flagNamed(s.Name); err == nil && s.Text == "" && f.unset != "" {
			from += ": " + f.unset
		}
		fmt.Fprintf(w, "%-40s # %s\n", s.Name+": "+yamlText(s.Text), from)
	}
}

// yamlText writes text so that YAML reads the same text: as it is where nothing could be taken for anything else.
func yamlText(text string) string {
	if regexp.MustCompile(`^([0-9.]+[A-Za-z]*|true|false)$`).MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

// markdown is the table of all flags for the README.
func markdown() string {
	var b strings.Builder
	b.WriteString("| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, g := range table() {
		for _, f := range g.flags {
			fallback := f.unset
			if fallback == "" {
				fallback = "`" + f.fallback + "`"
			}
			fmt.Fprintf(&b, "| `-%s` | `%s` | %s | %s |\n", f.name, f.variable(), fallback, f.meaning)
		}
	}
	return b.String()
}
