package key_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
)

func TestPathIsDecodedOnceAndNeverCleaned(t *testing.T) {
	for _, tc := range []struct{ path, want string }{
		{"/a", "a"},
		{"/a/", "a/"},
		{"/a//b", "a//b"},
		{"//a", "/a"},
		{"//", "/"},
		{"/..", ".."},
		{"/a/../b", "a/../b"},
		{"/a%2Fb", "a/b"},
		{"/a%2fb", "a/b"},
		{"/%252F", "%2F"},
		{"/%00", "\x00"},
		{"/%ff%FE", "\xff\xfe"},
		{"/a+b", "a+b"},
		{"/a%20b", "a b"},
		{"/gr%C3%BC%C3%9Fe", "grüße"},
		{"/grüße", "grüße"},
		{"/%25", "%"},
		{"/a_", "a_"},
		{"//_a", "/_a"},
		{"/a/_b", "a/_b"},
		{"/metrics/x", "metrics/x"},
		{"/metrics/", "metrics/"},
		{"/Metrics", "Metrics"},
		{"//metrics", "/metrics"},
		{"/" + strings.Repeat("a", key.Max), strings.Repeat("a", key.Max)},
		{"/" + strings.Repeat("%61", key.Max), strings.Repeat("a", key.Max)},
	} {
		got, err := key.FromPath(tc.path)
		if err != nil || string(got) != tc.want {
			t.Errorf("FromPath(%q) = %q, %v, want %q", tc.path, got, err, tc.want)
		}
	}
}

func TestBadPathNamesItsFault(t *testing.T) {
	for _, tc := range []struct {
		path  string
		fault key.Fault
		says  string
	}{
		{"", key.Empty, "1 to 1024 bytes"},
		{"/", key.Empty, "1 to 1024 bytes"},
		{"*", key.Empty, "after the first slash"},
		{"/" + strings.Repeat("a", 1300), key.TooLong, "key is 1300 bytes; at most 1024 are allowed"},
		{"/" + strings.Repeat("%61", 1025), key.TooLong, "key is 1025 bytes"},
		{"/_" + strings.Repeat("a", 1300), key.TooLong, "key is 1301 bytes"},
		{"/a%", key.BadEscape, `bad escape "%"`},
		{"/a%4", key.BadEscape, `bad escape "%4"`},
		{"/a%zzb", key.BadEscape, `bad escape "%zz"`},
		{"/%4", key.BadEscape, `bad escape "%4"`},
		{"/%%41", key.BadEscape, `bad escape "%%4"`},
		{"/%u0041", key.BadEscape, `bad escape "%u0"`},
		{"/_", key.Reserved, `here "_"`},
		{"/_health", key.Reserved, `here "_health"`},
		{"/%5Fhealth", key.Reserved, `here "_health"`},
		{"/_a/b", key.Reserved, `here "_a"`},
		{"/_a%2Fb", key.Reserved, `here "_a"`},
		{"/metrics", key.Reserved, `here "metrics"`},
		{"/%6Detrics", key.Reserved, `here "metrics"`},
	} {
		got, err := key.FromPath(tc.path)
		var fault *key.PathError
		if !errors.As(err, &fault) {
			t.Errorf("FromPath(%.40q) = %q, %v, want a PathError", tc.path, got, err)
			continue
		}
		if fault.Fault != tc.fault || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("FromPath(%.40q) fails with %v, %q, want %v and %q", tc.path, fault.Fault, err, tc.fault, tc.says)
		}
	}
}

func TestErrorStaysShortForALongReservedName(t *testing.T) {
	_, err := key.FromPath("/_" + strings.Repeat("%FF", 1000))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("the error is %d bytes: %v", len(err.Error()), err)
	}
}

func TestPathWithoutEscapesAllocatesNothing(t *testing.T) {
	path := "/" + strings.Repeat("a/b", 100)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := key.FromPath(path); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("FromPath allocates %v times, want 0", allocs)
	}
}

func FuzzFromPath(f *testing.F) {
	for _, seed := range []string{"", "/", "/a", "/a%2Fb", "//", "/%", "/%2", "/_x", "/metrics", "/%00%ff", "/a%zz", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := key.FromPath(path)
		var fault *key.PathError
		if err != nil && (!errors.As(err, &fault) || fault.Fault.String() == "unknown" || got != "") {
			t.Fatalf("FromPath(%q) = %q, %v, want a PathError and no key", path, got, err)
		}
		raw, slash := strings.CutPrefix(path, "/")
		want, escape := url.PathUnescape(raw)
		ok := slash && escape == nil && want != "" && len(want) <= key.Max && want[0] != '_' && want != "metrics"
		if (err == nil) != ok {
			t.Fatalf("FromPath(%q) fails with %v; decoded by net/url it is %q, %v", path, err, want, escape)
		}
		if ok && string(got) != want {
			t.Fatalf("FromPath(%q) = %q, net/url says %q", path, got, want)
		}
	})
}
