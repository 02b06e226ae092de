package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

func TestTagsAreReadAsTheRFCSays(t *testing.T) {
	const a, b = "1f-1", "ff00ff-2a"
	for _, tc := range []struct {
		name  string
		lines []string
		match string // what If-Match holds for; "bad" if it is malformed
		none  string // what If-None-Match is against
	}{
		{"one", []string{`"1f-1"`}, a, a},
		{"two", []string{`"1f-1", "ff00ff-2a"`}, a + " " + b, a + " " + b},
		{"two lines", []string{`"1f-1"`, `"ff00ff-2a"`}, a + " " + b, a + " " + b},
		{"no spaces", []string{`"1f-1","ff00ff-2a"`}, a + " " + b, a + " " + b},
		{"empty elements", []string{` , ,"1f-1" ,, `}, a, a},
		{"any", []string{` * `}, "*", "*"},
		{"weak ones match only weakly", []string{`W/"1f-1", "ff00ff-2a"`}, b, a + " " + b},
		{"foreign ones match nothing", []string{`"abc", "", "d41d8cd98f00b204", "a,b"`}, "", ""},
		{"another spelling is another tag", []string{`"1F-1", "01f-1", "+1f-1", "1f-01", "1f--1"`}, "", ""},
		{"no quotes", []string{`1f-1`}, "bad", "bad"},
		{"half a quote", []string{`"1f-1`}, "bad", "bad"},
		{"small w", []string{`w/"1f-1"`}, "bad", "bad"},
		{"a space inside", []string{`"1f -1"`}, "bad", "bad"},
		{"no comma", []string{`"1f-1" "ff00ff-2a"`}, "bad", "bad"},
		{"any among others", []string{`*, "1f-1"`}, "bad", "bad"},
		{"any twice", []string{`*`, `*`}, "bad", "bad"},
		{"nothing", []string{``}, "bad", "bad"},
		{"only commas", []string{`, ,`}, "bad", "bad"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for weak, want := range map[bool]string{false: tc.match, true: tc.none} {
				tags, err := tagsOf(http.Header{"X": tc.lines}, "X", weak)
				if got := tagsText(tags, err); got != want {
					t.Errorf("weak %v: %q means %q, want %q", weak, tc.lines, got, want)
				}
			}
		})
	}
	if tags, err := tagsOf(http.Header{}, "X", true); tags.Sent || err != nil {
		t.Errorf("no header at all means %+v, %v", tags, err)
	}
}

func tagsText(tags register.Tags, err error) string {
	if err != nil {
		return "bad"
	}
	if tags.Any {
		return "*"
	}
	var texts []string
	for _, v := range tags.Versions {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, " ")
}

func FuzzTags(f *testing.F) {
	for _, seed := range []string{`*`, `"1f-1"`, `W/"1f-1", "2-2"`, `"`, `,`, `W/`, `"a""b"`, "\"\xff\"", `"ffffffffffffffff-ffffffff"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		header := http.Header{"X": {text}}
		strong, err := tagsOf(header, "X", false)
		weak, weakErr := tagsOf(header, "X", true)
		if (err == nil) != (weakErr == nil) || len(strong.Versions) > len(weak.Versions) {
			t.Fatalf("%q: strongly %+v, %v; weakly %+v, %v", text, strong, err, weak, weakErr)
		}
		for _, v := range weak.Versions {
			if !strings.Contains(text, entityTag(v)) {
				t.Fatalf("%q is read as %v, which it does not say", text, v)
			}
		}
		// Whatever it was, it can be joined by one more tag and then has that, unless it was malformed or `*`.
		more, err := tagsOf(http.Header{"X": {text, `"7-7"`}}, "X", false)
		seven := register.Stamp{Time: 7, Node: ring.NodeID(7)}
		if err == nil && !slices.Contains(more.Versions, seven) {
			t.Fatalf("%q and a tag: %+v", text, more)
		}
	})
}

func TestConditionsDecide(t *testing.T) {
	const first, second = `"1-1"`, `"2-1"`
	for _, tc := range []struct {
		method      string
		there       bool // at version first
		name, value string
		status      int
	}{
		{"GET", true, "If-None-Match", first, 304},
		{"HEAD", true, "If-None-Match", first, 304},
		{"GET", true, "If-None-Match", "W/" + first, 304},
		{"GET", true, "If-None-Match", "*", 304},
		{"GET", true, "If-None-Match", second, 200},
		{"GET", true, "If-Match", first, 200},
		{"GET", true, "If-Match", second + ", " + first, 200},
		{"GET", true, "If-Match", "W/" + first, 412},
		{"GET", true, "If-Match", second, 412},
		{"GET", false, "If-Match", first, 404},
		{"GET", false, "If-None-Match", "*", 404},
		{"GET", true, "If-Match", "what", 400},
		{"PUT", true, "If-Match", first, 200},
		{"PUT", true, "If-Match", "*", 200},
		{"PUT", true, "If-Match", second, 412},
		{"PUT", true, "If-None-Match", "*", 412},
		{"PUT", true, "If-None-Match", first, 412},
		{"PUT", true, "If-None-Match", second, 200},
		{"PUT", false, "If-None-Match", "*", 201},
		{"PUT", false, "If-Match", "*", 412},
		{"POST", false, "If-Match", "what", 400},
		{"DELETE", true, "If-Match", first, 204},
		{"DELETE", true, "If-Match", second, 412},
		{"DELETE", false, "If-Match", first, 412},
		{"DELETE", true, "If-None-Match", "what", 400},
	} {
		keys := &memory{}
		s := handler(t, testConfig(keys, newJournal()))
		if tc.there {
			call(s, "PUT", "/k", nil, strings.NewReader("old"))
		}
		r := call(s, tc.method, "/k", headers(tc.name, tc.value), strings.NewReader("new"))
		if r.Code != tc.status {
			t.Errorf("%s with %s: %s (there: %v) = %d %s, want %d", tc.method, tc.name, tc.value, tc.there, r.Code, r.Body, tc.status)
		}
		if r.Code == 304 && (r.Header().Get("ETag") != first || r.Body.Len() > 0) {
			t.Errorf("%s: 304 with ETag %s and %q", tc.method, r.Header().Get("ETag"), r.Body)
		}
		if _, there := keys.get("k"); r.Code >= 400 && there != tc.there {
			t.Errorf("%s with %s: %s = %d, but the key changed", tc.method, tc.name, tc.value, r.Code)
		}
	}
}

func TestBothConditionsMustHold(t *testing.T) {
	s := handler(t, testConfig(&memory{}, nil))
	call(s, "PUT", "/k", nil, strings.NewReader("old"))
	if r := call(s, "GET", "/k", headers("If-Match", `"9-9"`, "If-None-Match", `"1-1"`), nil); r.Code != 412 {
		t.Errorf("If-Match does not hold, nor does If-None-Match: %d, want 412", r.Code)
	}
	if r := call(s, "GET", "/k", headers("If-Match", `*`, "If-None-Match", `"1-1"`), nil); r.Code != 304 {
		t.Errorf("If-Match holds, If-None-Match does not: %d, want 304", r.Code)
	}
}

func TestAnUploadWithoutAChanceIsNotAskedFor(t *testing.T) {
	keys := &memory{}
	s := handler(t, testConfig(keys, nil))
	call(s, "PUT", "/k", nil, strings.NewReader("old"))
	keys.beforeWrite = func(context.Context) error {
		t.Error("a write whose condition does not hold reached the keys")
		return nil
	}
	body := strings.NewReader(strings.Repeat("x", register.InlineMax+1))
	if r := call(s, "PUT", "/k", headers("If-None-Match", "*"), body); r.Code != 412 || body.Len() != register.InlineMax+1 {
		t.Errorf("PUT = %d, %d bytes left; want 412 and nothing read", r.Code, body.Len())
	}
}
