package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// rank orders the places that a setting can come from; the higher one wins.
type rank int

const (
	byDefault rank = iota
	byFile
	byEnvironment
	byFlag
)

// settings are those that one place gives, by flag name.
type settings map[string]Setting

const envPrefix = "ESTORAJED_"

// layered gives the setting as the first of the places that has it, highest rank first, or its fallback.
func layered(name, fallback string, places ...settings) Setting {
	for _, p := range places {
		if s, given := p[name]; given {
			return s
		}
	}
	return Setting{Name: name, Text: fallback, From: "default", rank: byDefault}
}

// fromArgs reads an optional command and then flags: -flag value, -flag=value, and both with two dashes. A switch
// needs no value, but takes a following true or false as its own. Of a flag given twice the last one holds.
func fromArgs(args []string) (Command, settings, error) {
	command := Serve
	if len(args) > 0 && args[0] == "check-config" {
		command, args = CheckConfig, args[1:]
	}
	found := settings{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, text, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if !strings.HasPrefix(arg, "-") || name == "" {
			return 0, nil, fmt.Errorf("unexpected %s: all arguments are flags, written -name value (-help lists them)", shown(arg))
		}
		switch name {
		case "h", "help":
			return Help, nil, nil
		case "version":
			return Version, nil, nil
		}
		f, err := flagNamed(name)
		if err != nil {
			return 0, nil, err
		}
		if !joined {
			if text, args, err = f.value(args); err != nil {
				return 0, nil, err
			}
		}
		found[name] = Setting{Name: name, Text: text, From: "-" + name, rank: byFlag}
	}
	return command, found, nil
}

// value takes the flag's value off the arguments that follow it.
func (f flag) value(args []string) (string, []string, error) {
	if f.hint == "" {
		if len(args) > 0 && (args[0] == "true" || args[0] == "false") {
			return args[0], args[1:], nil
		}
		return "true", args, nil
	}
	if len(args) == 0 {
		return "", nil, fmt.Errorf("-%s needs a value: -%s %s", f.name, f.name, f.hint)
	}
	if next, dashed := strings.CutPrefix(args[0], "-"); dashed {
		if _, err := flagNamed(strings.TrimPrefix(next, "-")); err == nil {
			return "", nil, fmt.Errorf("-%s needs a value, but %s follows it", f.name, args[0])
		}
	}
	return args[0], args[1:], nil
}

func flagNamed(name string) (flag, error) {
	for _, f := range allFlags() {
		if f.name == name {
			return f, nil
		}
	}
	return flag{}, fmt.Errorf("%s is not a flag%s (-help lists them)", shown("-"+name), suggestion(name, func(f flag) string { return "-" + f.name }))
}

// variable is the flag's name in the environment: dataPath is ESTORAJED_DATA_PATH, log-level ESTORAJED_LOG_LEVEL.
func (f flag) variable() string {
	var b strings.Builder
	b.WriteString(envPrefix)
	for _, r := range f.name {
		switch {
		case r == '-':
			r = '_'
		case unicode.IsUpper(r):
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// fromEnvironment reads every variable whose name begins with ESTORAJED_. An empty one counts as not set.
func fromEnvironment(environ []string) (settings, error) {
	byVariable := map[string]flag{}
	for _, f := range allFlags() {
		byVariable[f.variable()] = f
	}
	found := settings{}
	for _, line := range environ {
		name, text, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, envPrefix) || serviceLink(name, text) {
			continue
		}
		f, known := byVariable[name]
		if !known {
			return nil, fmt.Errorf("the environment's %s is not a setting%s (-help lists them)", shown(name), suggestion(strings.TrimPrefix(name, envPrefix), flag.variable))
		}
		if text != "" {
			found[f.name] = Setting{Name: f.name, Text: text, From: name, rank: byEnvironment}
		}
	}
	return found, nil
}

// serviceLink recognises what Kubernetes puts into the environment of every container when a service is called
// "estorajed" or "estorajed-...": ESTORAJED_PORT=tcp://10.0.0.7:8000 and others. They are not meant for us.
func serviceLink(name, text string) bool {
	address := strings.HasPrefix(text, "tcp://") || strings.HasPrefix(text, "udp://")
	return strings.HasSuffix(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.HasSuffix(name, "_PORT") && address || strings.Contains(name, "_PORT_") && (strings.Contains(name, "_TCP") || strings.Contains(name, "_UDP"))
}

// fromFile reads the YAML file that path names: one flag a line, without dashes.
func fromFile(path Setting, readFile func(string) ([]byte, error)) (settings, error) {
	text, err := readFile(path.Text)
	if err != nil {
		return nil, path.blame(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	if err := decoder.Decode(&document); err == io.EOF {
		return nil, nil // nothing, or only comments
	} else if err != nil {
		return nil, path.blame(oneLine(err))
	}
	if err := decoder.Decode(&more); err != io.EOF {
		return nil, path.blame(errors.New("holds more than one document"))
	}
	lines := document.Content[0]
	if lines.Tag == "!!null" {
		return nil, nil
	}
	if lines.Kind != yaml.MappingNode {
		return nil, path.blame(fmt.Errorf("line %d: write one setting a line, as in 'port: 8000'", lines.Line))
	}
	found, first := settings{}, map[string]int{}
	for pair := range slices.Chunk(lines.Content, 2) {
		name, line := pair[0].Value, pair[0].Line
		where := fmt.Sprintf("%s, line %d", shown(path.Text), line)
		switch _, err := flagNamed(name); {
		case err != nil:
			return nil, fmt.Errorf("%s: %s is not a setting%s", where, shown(name), suggestion(name, func(f flag) string { return f.name }))
		case name == configFlag:
			return nil, fmt.Errorf("%s: a file cannot name another one", where)
		case first[name] != 0:
			return nil, fmt.Errorf("%s: %s is there twice, first on line %d", where, name, first[name])
		case pair[1].Kind != yaml.ScalarNode || pair[1].Tag == "!!null":
			return nil, fmt.Errorf("%s: %s needs one value, as in '%s: VALUE'", where, name, name)
		}
		first[name] = line
		found[name] = Setting{Name: name, Text: pair[1].Value, From: where, rank: byFile}
	}
	return found, nil
}

// readConfigFile reads a file that cannot be longer than any sensible configuration.
func readConfigFile(path string) ([]byte, error) {
	const limit = 1 << 20 // bytes
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is said already
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if len(text) > limit {
		return nil, fmt.Errorf("longer than %s", sizeText(limit))
	}
	return text, nil
}

// oneLine drops the library's name and its line breaks from its error.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
}

// suggestion names the flag that looks most like a name which is none, if one does; written tells how it is written there.
func suggestion(name string, written func(flag) string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }
	if len(name) > 2*len("etcd-client-port") {
		return ""
	}
	away := func(f flag) int { return distance(plain(name), plain(f.name)) }
	nearest := slices.MinFunc(allFlags(), func(a, b flag) int { return cmp.Compare(away(a), away(b)) })
	if away(nearest) > len(plain(nearest.name))/2 {
		return "" // less than half of it is right
	}
	return "; did you mean " + written(nearest) + "?"
}

// distance counts the letters to insert, drop or change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
