package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// metric reads one metric of a server, all its series with that label added up; label is as in the text format, or "".
func metric(url, name, label string) (float64, error) {
	text, err := scrape(url)
	if err != nil {
		return 0, err
	}
	v, found, err := total(text, name, label)
	if err == nil && !found {
		err = fmt.Errorf("%s has no %s{%s}", url, name, label)
	}
	return v, err
}

// scrape reads all metrics of a server, in the text format.
func scrape(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s says %s", url, resp.Status)
	}
	return string(text), err
}

// total adds up all series of one metric that have that label; found is false if there are none.
func total(text, name, label string) (sum float64, found bool, err error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' || !strings.Contains(rest, label) {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, false, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += v
		found = true
	}
	return sum, found, nil
}
