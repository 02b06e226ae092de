package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Readers of one value each. An error says what is allowed; whoever calls says which flag it was and what was given.

// A reader makes a T of a flag's text.
type reader[T any] = func(text string) (T, error)

// optional also takes the empty text, as the zero T.
func optional[T any](read reader[T]) reader[T] {
	return func(text string) (T, error) {
		if text == "" {
			var none T
			return none, nil
		}
		return read(text)
	}
}

// between takes what read takes if it lies in [low, high].
func between[T cmp.Ordered](read reader[T], low, high T) reader[T] {
	return func(text string) (T, error) {
		v, err := read(text)
		if err == nil && !(low <= v && v <= high) {
			err = fmt.Errorf("must be at least %s and at most %s", inWords(low), inWords(high))
		}
		return v, err
	}
}

// inWords writes a limit the way its flag is written.
func inWords[T cmp.Ordered](limit T) string {
	switch v := any(limit).(type) {
	case int64:
		return sizeText(v)
	case time.Duration:
		if v >= day {
			return fmt.Sprintf("%dd", v/day)
		}
		text := strings.TrimSuffix(v.String(), "m0s")
		if text != v.String() {
			text += "m"
		}
		return text
	}
	return fmt.Sprint(limit)
}

func oneOf(words ...string) reader[string] {
	return func(text string) (string, error) {
		if !slices.Contains(words, text) {
			last := len(words) - 1
			return "", fmt.Errorf("must be %s or %s", strings.Join(words[:last], ", "), words[last])
		}
		return text, nil
	}
}

func truth(text string) (bool, error) {
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("must be true or false")
	}
	return v, nil
}

func whole(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("not a whole number")
	}
	return n, nil
}

func powerOfTwo(limit int) reader[int] {
	return func(text string) (int, error) {
		n, err := whole(text)
		if err != nil || n < 1 || n > limit || bits.OnesCount(uint(n)) != 1 {
			return 0, fmt.Errorf("must be a power of two from 1 to %d", limit)
		}
		return n, nil
	}
}

func decimal(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) {
		return 0, errors.New("not a number")
	}
	return v, nil
}

func weight(text string) (float64, error) {
	v, err := decimal(text)
	if err != nil || v <= 0 || v > maxWeight {
		return 0, fmt.Errorf("must be a number above 0, at most %.0f", maxWeight)
	}
	return v, nil
}

func port(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, errors.New("a port is a number from 1 to 65535")
	}
	return n, nil
}

// duration reads what time.ParseDuration reads, and days before it: 7d, 1d12h.
func duration(text string) (time.Duration, error) {
	bad := errors.New("write a time as 30s, 15m, 12h or 7d")
	var days time.Duration
	if number, rest, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, bad
		}
		days = time.Duration(n) * day
		if text = rest; text == "" {
			return days, nil
		}
	}
	v, err := time.ParseDuration(text)
	if err != nil || strings.HasPrefix(text, "-") || v > math.MaxInt64-days {
		return 0, bad
	}
	return days + v, nil
}

// units are the powers of 1024 that sizes are written in.
func units() []string { return []string{"B", "K", "M", "G", "T"} }

// size reads bytes: 64MiB, 64M and 67108864 are the same. MB is refused, as it means 10^6 to some.
func size(text string) (int64, error) {
	bad := errors.New("write a size as 64MiB, 64M or 67108864")
	digits := strings.IndexFunc(text+" ", func(r rune) bool { return r < '0' || '9' < r })
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil {
		return 0, bad
	}
	unit := strings.ToUpper(strings.TrimSpace(text[digits:]))
	if unit == "" {
		return n, nil
	}
	power := slices.Index(units(), strings.TrimSuffix(unit, "IB"))
	if power < 0 || unit == "BIB" {
		return 0, bad
	}
	if n > math.MaxInt64>>(10*power) {
		return 0, bad
	}
	return n << (10 * power), nil
}

// sizeText writes n in the largest unit that gives a whole number.
func sizeText(n int64) string {
	power := 0
	for n != 0 && n%1024 == 0 && power < len(units())-1 {
		n /= 1024
		power++
	}
	if power == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d%siB", n, units()[power])
}

func nodeName(text string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`).MatchString(text) {
		return "", errors.New("a name is 1 to 63 of A-Z a-z 0-9 . _ -")
	}
	return text, nil
}

func folder(text string) (string, error) {
	if text == "" || strings.ContainsRune(text, 0) {
		return "", errors.New("not a folder's name")
	}
	return text, nil
}

// host reads an IP address or a host name.
func host(text string) (string, error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, nil
	}
	label := `[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?`
	named := regexp.MustCompile(`^` + label + `(\.` + label + `)*\.?$`)
	numeric := regexp.MustCompile(`(^|\.)[0-9]+\.?$`) // no name ends so; it is an address that is wrong
	if len(text) > 253 || !named.MatchString(text) || numeric.MatchString(text) {
		return "", errors.New("not an IP address or host name (no port, no http://, no brackets)")
	}
	return text, nil
}

// reachableHost reads a host that others can connect to.
func reachableHost(text string) (string, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.IsUnspecified() {
		return "", errors.New("nobody can connect to this address; to listen on all interfaces use -bind")
	}
	return host(text)
}

// bindHost reads a host to listen on; all interfaces are the empty host, as in package net.
func bindHost(text string) (string, error) {
	if text == "" || text == "*" {
		return "", nil
	}
	return host(text)
}

// endpoint reads where an OTLP exporter sends to: a URL, or host:port.
func endpoint(text string) (string, error) {
	bad := errors.New("write http://host:4318")
	if !strings.Contains(text, "://") {
		if _, _, err := hostPort(text); err != nil {
			return "", bad
		}
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", bad
	}
	return text, nil
}

// hostPort reads host:port; an IPv6 address stands in brackets.
func hostPort(text string) (string, int, error) {
	h, p, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, errors.New("not host:port")
	}
	if h, err = reachableHost(h); err != nil {
		return "", 0, err
	}
	n, err := port(p)
	return h, n, err
}

// shown writes a value as the user would, quoted only where that would not be clear, and not without end.
func shown(text string) string {
	const limit = 100 // bytes
	cut := ""
	if len(text) > limit {
		text, cut = text[:limit], "..."
	}
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || !strconv.IsPrint(r) || r == '"' }) {
		text = strconv.Quote(text)
	}
	return text + cut
}
