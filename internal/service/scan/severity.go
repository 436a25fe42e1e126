package scan

import (
	"strings"

	cvss20 "github.com/pandatix/go-cvss/20"
	cvss30 "github.com/pandatix/go-cvss/30"
	cvss31 "github.com/pandatix/go-cvss/31"
	cvss40 "github.com/pandatix/go-cvss/40"
)

// Severity of a finding.
type Severity string

// Severities, the gravest first.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Unknown  Severity = "unknown" // the list does not say
)

var rank = map[Severity]int{Critical: 4, High: 3, Medium: 2, Low: 1, Unknown: 0}

// score reads a CVSS vector or a bare score; ok is false when it is neither.
func score(text string) (float64, bool) {
	switch {
	case strings.HasPrefix(text, "CVSS:4.0/"):
		if v, err := cvss40.ParseVector(text); err == nil {
			return v.Score(), true
		}
	case strings.HasPrefix(text, "CVSS:3.1/"):
		if v, err := cvss31.ParseVector(text); err == nil {
			return v.BaseScore(), true
		}
	case strings.HasPrefix(text, "CVSS:3.0/"):
		if v, err := cvss30.ParseVector(text); err == nil {
			return v.BaseScore(), true
		}
	case strings.HasPrefix(text, "AV:"):
		if v, err := cvss20.ParseVector(text); err == nil {
			return v.BaseScore(), true
		}
	}
	return 0, false
}

// ofScore is CVSS's qualitative scale.
func ofScore(s float64) Severity {
	switch {
	case s >= 9:
		return Critical
	case s >= 7:
		return High
	case s >= 4:
		return Medium
	case s > 0:
		return Low
	}
	return Unknown
}

// ofWord reads the words that lists use.
func ofWord(w string) Severity {
	switch strings.ToLower(strings.TrimRight(w, "*")) {
	case "critical":
		return Critical
	case "high", "important":
		return High
	case "medium", "moderate":
		return Medium
	case "low", "unimportant", "negligible":
		return Low
	}
	return Unknown
}
