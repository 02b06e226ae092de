package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A ban is something that must not be written in some files.
type ban struct {
	where func(file string) bool // file is slash-separated, from the module's root
	found func(n ast.Node, imports map[string]string) string
}

// bans are the rules that imports alone cannot tell.
func bans() []ban {
	pure := func(file string) bool {
		dir := path.Dir(file)
		return !strings.HasSuffix(file, "_test.go") && slices.Contains([]string{"internal/key", "internal/ring", "internal/register"}, dir)
	}
	return []ban{
		{pure, imported("os", "net", "log", "github.com/", "go.opentelemetry.io/")},
		{pure, called("time", "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker")},
		{pure, randomGlobal},
		{pure, func(n ast.Node, _ map[string]string) string {
			if _, starts := n.(*ast.GoStmt); starts {
				return "a goroutine"
			}
			return ""
		}},
		{func(file string) bool {
			return !program(file) && !strings.HasSuffix(file, "_test.go")
		}, called("os", "Exit")},
		{func(file string) bool { return !program(file) }, called("log", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln")},
		{func(file string) bool { return strings.HasSuffix(file, "_test.go") }, sleepInRealTime},
	}
}

// program tells whether the file belongs to a program, which may end its own process.
func program(file string) bool {
	return strings.HasPrefix(file, "cmd/") || strings.HasPrefix(file, "internal/bench/") || strings.HasPrefix(file, "internal/local/")
}

// imported finds imports: of a package of the standard library and those below it, or by a prefix that ends in a slash.
// This module's own packages and those that the pure floor needs are for the map of rooms to judge.
func imported(paths ...string) func(ast.Node, map[string]string) string {
	return func(n ast.Node, _ map[string]string) string {
		spec, is := n.(*ast.ImportSpec)
		if !is {
			return ""
		}
		name, _ := strconv.Unquote(spec.Path.Value)
		if strings.HasPrefix(name, module+"/") || strings.HasPrefix(name, "github.com/cespare/xxhash/") {
			return ""
		}
		for _, p := range paths {
			if name == p || strings.HasPrefix(name, strings.TrimSuffix(p, "/")+"/") {
				return "import of " + name
			}
		}
		return ""
	}
}

// called finds uses of some of a package's functions.
func called(pkg string, functions ...string) func(ast.Node, map[string]string) string {
	return func(n ast.Node, imports map[string]string) string {
		if from, name := selected(n, imports); from == pkg && slices.Contains(functions, name) {
			return pkg + "." + name
		}
		return ""
	}
}

// randomGlobal finds uses of the random source that all share; a *rand.Rand from a seed is welcome.
func randomGlobal(n ast.Node, imports map[string]string) string {
	from, name := selected(n, imports)
	if from != "math/rand" && from != "math/rand/v2" {
		return ""
	}
	if strings.HasPrefix(name, "New") || slices.Contains([]string{"Rand", "Source", "PCG", "ChaCha8", "Zipf"}, name) {
		return ""
	}
	return from + "." + name
}

// sleepInRealTime finds time.Sleep, which is welcome where the time is virtual.
func sleepInRealTime(n ast.Node, imports map[string]string) string {
	for _, p := range imports {
		if p == "testing/synctest" {
			return ""
		}
	}
	return called("time", "Sleep")(n, imports)
}

// selected gives package and name of an expression such as time.Now.
func selected(n ast.Node, imports map[string]string) (pkg, name string) {
	selector, is := n.(*ast.SelectorExpr)
	if !is {
		return "", ""
	}
	left, is := selector.X.(*ast.Ident)
	if !is {
		return "", ""
	}
	return imports[left.Name], selector.Sel.Name
}

func TestNobodyWritesWhatIsBanned(t *testing.T) {
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && file != ".." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		tree, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, fault := range banned(fset, tree, strings.TrimPrefix(filepath.ToSlash(file), "../")) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// banned is what the file must not hold but does.
func banned(fset *token.FileSet, tree *ast.File, file string) (list []string) {
	imports := map[string]string{}
	for _, spec := range tree.Imports {
		full, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(strings.TrimSuffix(full, "/v2"))
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = full
	}
	for _, b := range bans() {
		if !b.where(file) {
			continue
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if what := b.found(n, imports); what != "" {
				list = append(list, file+":"+strconv.Itoa(fset.Position(n.Pos()).Line)+": "+what+" has no place here")
			}
			return true
		})
	}
	return list
}

func TestTheBansCatchWhatIsBanned(t *testing.T) {
	for _, tc := range []struct {
		file, source string
		faults       int
	}{
		{"internal/ring/plan.go", `import "time"; var x = time.Now()`, 1},
		{"internal/ring/plan.go", `import "time"; var x = time.Second`, 0},
		{"internal/ring/plan_test.go", `import "time"; var x = time.Now()`, 0},
		{"internal/ring/plan.go", `import "math/rand/v2"; var x = rand.IntN(3)`, 1},
		{"internal/ring/plan.go", `import "math/rand/v2"; var x = rand.New(nil)`, 0},
		{"internal/key/key.go", `import "net/http"`, 1},
		{"internal/key/key.go", `import "github.com/cespare/xxhash/v2"`, 0},
		{"internal/key/key.go", `import "github.com/prometheus/client_golang/prometheus"`, 1},
		{"internal/register/op.go", `func f() { go f() }`, 1},
		{"internal/store/store.go", `func f() { go f() }`, 0},
		{"internal/store/store.go", `import "os"; func f() { os.Exit(1) }`, 1},
		{"internal/store/main_test.go", `import "os"; func f() { os.Exit(1) }`, 0},
		{"cmd/estorajed/main.go", `import "os"; func f() { os.Exit(1) }`, 0},
		{"internal/api/api_test.go", `import "log"; func f() { log.Fatal() }`, 1},
		{"internal/api/api_test.go", `import "time"; func f() { time.Sleep(1) }`, 1},
		{"internal/api/api_test.go", `import clock "time"; func f() { clock.Sleep(1) }`, 1},
		{"internal/api/api_test.go", `import ("time"; "testing/synctest"); func f() { time.Sleep(1); synctest.Wait() }`, 0},
	} {
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, tc.file, "package p; "+tc.source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := banned(fset, tree, tc.file); len(got) != tc.faults {
			t.Errorf("%s in %s: %q, want %d faults", tc.source, tc.file, got, tc.faults)
		}
	}
}
