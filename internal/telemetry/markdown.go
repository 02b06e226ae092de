package telemetry

import (
	"fmt"
	"strings"
)

// Markdown is the catalogue as a table for people. It depends on nothing but the code: what it prints can be kept in a
// document and compared.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| metric (`" + namespace + "...`) | type | labels | meaning | use |\n| --- | --- | --- | --- | --- |\n")
	for _, m := range Catalogue() {
		name := "`" + m.Name + "`"
		if m.Essential {
			name = "**" + name + "**"
		}
		labels := make([]string, len(m.Labels))
		for i, l := range m.Labels {
			labels[i] = "`" + l.Name + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, m.Type, strings.Join(labels, " "), m.Help, m.Use)
	}
	b.WriteString("\nBold: what belongs on an overview. Beside these there are Go's `go_...` and the process's `process_...` metrics, and, where a node votes, etcd's own `etcd_...`.\n")
	return b.String()
}
