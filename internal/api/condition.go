package api

import (
	"net/http"
	"strings"

	"github.com/estorajed/estorajed/internal/register"
)

// conditionOf reads If-Match and If-None-Match (RFC 9110, section 13.1). Dates are not compared: no clock is trusted here.
func conditionOf(h http.Header) (register.Condition, error) {
	match, err := tagsOf(h, "If-Match", false)
	if err != nil {
		return register.Condition{}, err
	}
	noneMatch, err := tagsOf(h, "If-None-Match", true)
	if err != nil {
		return register.Condition{}, err
	}
	return register.Condition{IfMatch: match, IfNoneMatch: noneMatch}, nil
}

// conditional tells whether c asks for anything.
func conditional(c register.Condition) bool { return c.IfMatch.Sent || c.IfNoneMatch.Sent }

// tagsOf reads one header: `*`, or a list of entity tags. weak tells whether a weak tag (`W/"..."`, as proxies that compress
// make of ours) compares as if it were strong; if not, it matches nothing.
func tagsOf(h http.Header, name string, weak bool) (register.Tags, error) {
	lines := h[name]
	if len(lines) == 0 {
		return register.Tags{}, nil
	}
	list := strings.Trim(strings.Join(lines, ","), " \t")
	tags := register.Tags{Sent: true}
	if list == "*" {
		tags.Any = true
		return tags, nil
	}
	count := 0
	for rest := nextTag(list); rest != ""; rest = nextTag(rest) {
		tag, after, ok := cutTag(rest)
		if !ok {
			return register.Tags{}, badTags(name)
		}
		count++
		if version, ours := tag.version(); ours && (weak || !tag.weak) {
			tags.Versions = append(tags.Versions, version)
		}
		rest = after
	}
	// An empty list is more likely a script's empty variable than a wish: as If-None-Match it would always hold.
	if count == 0 {
		return register.Tags{}, badTags(name)
	}
	return tags, nil
}

func badTags(name string) error {
	return refuse(http.StatusBadRequest, ReasonBadRequest,
		`%s is malformed: give * or a list of entity tags in double quotes, as ETag shows them; nothing was changed`, name)
}

// nextTag drops white space and the commas between elements, of which the RFC allows any number.
func nextTag(list string) string { return strings.TrimLeft(list, " \t,") }

// A tag is one entity tag, without its quotes.
type tag struct {
	weak bool
	text string
}

// cutTag takes an entity tag off the front of list; after it the list ends, or goes on with a comma.
func cutTag(list string) (t tag, rest string, ok bool) {
	rest, t.weak = strings.CutPrefix(list, "W/")
	if rest, ok = strings.CutPrefix(rest, `"`); !ok {
		return tag{}, "", false
	}
	if t.text, rest, ok = strings.Cut(rest, `"`); !ok {
		return tag{}, "", false
	}
	for i := range len(t.text) {
		if c := t.text[i]; c <= ' ' || c == 0x7f {
			return tag{}, "", false
		}
	}
	rest = strings.TrimLeft(rest, " \t")
	return t, rest, rest == "" || rest[0] == ','
}

// version is the version that the tag names. Only the very form that ETag has is one of ours; any other matches nothing.
func (t tag) version() (register.Stamp, bool) {
	version, err := register.ParseStamp(t.text)
	return version, err == nil && version.String() == t.text
}

// entityTag is a version as ETag shows it.
func entityTag(version register.Stamp) string { return `"` + version.String() + `"` }
