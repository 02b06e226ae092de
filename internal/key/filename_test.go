package key_test

import (
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
)

// The names are what Python's quote(safe="") and sha256sum print.
func TestFileNameIsWhatStandardToolsMake(t *testing.T) {
	for _, tc := range []struct{ key, want string }{
		{"a", "k-a"},
		{"some/key", "k-some%2Fkey"},
		{".", "k-."},
		{"..", "k-.."},
		{"k-a", "k-k-a"},
		{"AZaz09-._~", "k-AZaz09-._~"},
		{"!*'();:@&=+$,/?#[]", "k-%21%2A%27%28%29%3B%3A%40%26%3D%2B%24%2C%2F%3F%23%5B%5D"},
		{" %\"<>\\^`{|}", "k-%20%25%22%3C%3E%5C%5E%60%7B%7C%7D"},
		{"grüße", "k-gr%C3%BC%C3%9Fe"},
		{"\x00\n\x7f\xff", "k-%00%0A%7F%FF"},
		{strings.Repeat("a", 253), "k-" + strings.Repeat("a", 253)},
		{strings.Repeat("a", 254), "h-136496c2a16a22b58bbd01529b66d8510cc5a3ec61711cbaa298a52580b000d6"},
		{strings.Repeat("/", 84) + "a", "k-" + strings.Repeat("%2F", 84) + "a"},
		{strings.Repeat("/", 85), "h-9c113ec80ce505e64a6e53ea025fbad65cc4bb86ec22786e8609e96ade082a72"},
	} {
		if got := key.FileName(key.Key(tc.key)); got != tc.want {
			t.Errorf("FileName(%q) = %q, want %q", tc.key, got, tc.want)
		}
	}
}

func TestOnlyCanonicalNamesAreRead(t *testing.T) {
	for name, why := range map[string]string{
		"":                                    "neither",
		"a":                                   "neither",
		"K-a":                                 "neither",
		"k-":                                  "empty",
		"k-%":                                 "two digits",
		"k-%4":                                "two digits",
		"k-%zz":                               "two digits",
		"k-%2f":                               `"k-%2F"`,
		"k-%61":                               `"k-a"`,
		"k-a/b":                               `"k-a%2Fb"`,
		"k-a b":                               `"k-a%20b"`,
		"k-a.tmp ":                            `"k-a.tmp%20"`,
		"k-\xff":                              `"k-%FF"`,
		"k-" + strings.Repeat("a", 254):       "at most 255",
		"k-" + strings.Repeat("/", 200):       `"h-`,
		"h-":                                  "64 lower-case",
		"h-" + strings.Repeat("a", 63):        "64 lower-case",
		"h-" + strings.Repeat("a", 65):        "64 lower-case",
		"h-" + strings.Repeat("A", 64):        "64 lower-case",
		"h-" + strings.Repeat("a", 63) + "g":  "64 lower-case",
		"h-" + strings.Repeat("0", 64) + ".t": "64 lower-case",
	} {
		k, known, err := key.FromFileName(name)
		if err == nil || !strings.Contains(err.Error(), why) || k != "" || known {
			t.Errorf("FromFileName(%q) = %q, %v, %v, want an error with %q", name, k, known, err, why)
		}
	}
}

func TestHashedNameDoesNotSayItsKey(t *testing.T) {
	name := key.FileName(key.Key(strings.Repeat("x", key.Max)))
	if k, known, err := key.FromFileName(name); k != "" || known || err != nil {
		t.Errorf("FromFileName(%q) = %q, %v, %v, want no key and no error", name, k, known, err)
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("a", "b")
	f.Add("a/b", "a%2Fb")
	f.Add("..", "\x00")
	f.Add(strings.Repeat("a", 253), strings.Repeat("a", 254))
	f.Add(strings.Repeat("/", 84), strings.Repeat("/", 85))
	f.Fuzz(func(t *testing.T, one, other string) {
		for _, k := range []string{one, other} {
			if k == "" || len(k) > key.Max {
				return
			}
			name := key.FileName(key.Key(k))
			got, known, err := key.FromFileName(name)
			if err != nil || known && string(got) != k {
				t.Fatalf("FromFileName(FileName(%q)) = %q, %v, %v; the name is %q", k, got, known, err, name)
			}
			if len(name) > 255 || strings.ContainsAny(name, "/\x00") || !known && len(k) < 85 {
				t.Fatalf("FileName(%q) = %q, %d bytes", k, name, len(name))
			}
		}
		if (key.FileName(key.Key(one)) == key.FileName(key.Key(other))) != (one == other) {
			t.Fatalf("%q and %q share the name %q", one, other, key.FileName(key.Key(one)))
		}
	})
}

func FuzzFromFileName(f *testing.F) {
	for _, seed := range []string{"k-a", "k-%2F", "k-%2f", "k-%41", "h-" + strings.Repeat("0", 64), "k-", "h-", "", "k-a/b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k, known, err := key.FromFileName(name)
		if err != nil || !known {
			return
		}
		if key.FileName(k) != name || k == "" || len(k) > key.Max {
			t.Fatalf("FromFileName(%q) = %q, whose name is %q", name, k, key.FileName(k))
		}
	})
}
