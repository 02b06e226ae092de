package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/telemetry"
)

const readmePath = "../../README.md"

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTablesInTheReadmeAreThoseOfTheCode(t *testing.T) {
	text := readme(t)
	for _, part := range []struct{ name, want string }{
		{"flags", markdown()},
		{"metrics", telemetry.Markdown()},
	} {
		begin, end := "<!-- "+part.name+": written by 'make rewrite' -->\n", "<!-- end of "+part.name+" -->\n"
		before, rest, found := strings.Cut(text, begin)
		got, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("README.md lacks the markers %s%s", begin, end)
		}
		if got != part.want && !*rewrite {
			t.Errorf("the table of %s in README.md is not what the code says; make rewrite", part.name)
		}
		text = before + begin + part.want + end + after
	}
	if *rewrite {
		if err := os.WriteFile(readmePath, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheReadmeNamesEveryRoom(t *testing.T) {
	rows := firstColumn(readme(t), "| room under")
	var rooms []string
	err := filepath.WalkDir("../../internal", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || entry.Name() == "internal" {
			return err
		}
		if entry.Name() == "testdata" {
			return filepath.SkipDir
		}
		room, _ := filepath.Rel("../../internal", path)
		rooms = append(rooms, filepath.ToSlash(room))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range rooms {
		if !slices.Contains(rows, room) {
			t.Errorf("README.md does not say what internal/%s is for", room)
		}
	}
	for _, row := range rows {
		if !slices.Contains(rooms, row) {
			t.Errorf("README.md speaks of internal/%s, which is not there", row)
		}
	}
}

func TestTheReadmeSaysWhyEachDependencyIsThere(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	rows := firstColumn(readme(t), "| dependency")
	var modules []string
	for _, require := range regexp.MustCompile(`(?m)^(?:require )?\t?(\S+\.\S+/\S+) v\S+( // indirect)?$`).FindAllStringSubmatch(string(text), -1) {
		modules = append(modules, require[1])
		if direct := require[2] == ""; direct && !slices.Contains(rows, require[1]) {
			t.Errorf("README.md does not say why %s is there", require[1])
		}
	}
	for _, row := range rows {
		if !slices.Contains(modules, row) {
			t.Errorf("README.md says why %s is there, but go.mod does not require it", row)
		}
	}
}

// firstColumn gives the first cells of the table that begins so, without their quotes.
func firstColumn(text, header string) (cells []string) {
	_, table, _ := strings.Cut(text, header)
	for line := range strings.Lines(table) {
		if strings.TrimSpace(line) == "" {
			break
		}
		if cell, found := strings.CutPrefix(line, "| `"); found {
			cell, _, _ = strings.Cut(cell, "`")
			cells = append(cells, cell)
		}
	}
	return cells
}
