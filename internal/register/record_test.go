package register

import (
	"bytes"
	"strings"
	"testing"
)

func full() Record {
	r := state(Data, 0x30, 0x20, 1, 2, 3, 4, 5, 6, 7, 8)
	r.Metadata = []Field{{ContentType, "text/plain"}, {"", ""}, {"x", strings.Repeat("long", 100)}}
	r.Value = Value{Length: 1 << 40, Sum: 1<<64 - 1}
	return r
}

func TestFieldsComeBackAsTheyWere(t *testing.T) {
	for _, r := range []Record{{}, full(), state(Tombstone, 1, 1)} {
		b := append(r.AppendFields([]byte("before")), "after"...)
		got, rest, err := DecodeFields(b[len("before"):])
		if err != nil || string(rest) != "after" || !bytes.Equal(got.AppendFields(nil), r.AppendFields(nil)) {
			t.Errorf("%+v comes back as %+v before %q, %v", r, got, rest, err)
		}
	}
}

func TestCutFieldsAreRefused(t *testing.T) {
	r := full()
	b := r.AppendFields(nil)
	for n := range b {
		if got, _, err := DecodeFields(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes are taken for %+v", n, len(b), got)
		}
	}
}

func FuzzDecodeFields(f *testing.F) {
	r := full()
	f.Add(r.AppendFields(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := DecodeFields(b)
		if err != nil {
			return
		}
		again, _, err := DecodeFields(r.AppendFields(nil))
		if err != nil || !bytes.Equal(again.AppendFields(nil), r.AppendFields(nil)) || len(rest) > len(b) {
			t.Errorf("%x decodes to %+v, which does not come back: %v", b, r, err)
		}
	})
}

func TestStampsReadAsTheyAreWritten(t *testing.T) {
	for _, s := range []Stamp{{}, bal(1, 2), {1<<64 - 1, 1<<32 - 1}} {
		if got, err := ParseStamp(s.String()); err != nil || got != s {
			t.Errorf("%v is read as %v, %v", s, got, err)
		}
	}
	for _, text := range []string{"", "1", "1-", "-1", "1-2-3", "x-1", "1-x", "1-100000000", "10000000000000000-1", " 1-1"} {
		if got, err := ParseStamp(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
