package log

import (
	"regexp"
	"strings"
)

// Levels, from the least.
var Levels = []string{"debug", "info", "warning", "error"}

var level = regexp.MustCompile(`(?i)(?:"(?:level|lvl|severity)"\s*:\s*"|\b(?:level|lvl|severity)=)"?(trace|debug|info|notice|warn|warning|err|error|crit|critical|fatal|panic)\b|\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|PANIC)\b`)

// LevelOf reads a line's level as programs commonly write it: as a JSON or key=value field, or as a word in capitals; ""
// when it says none.
func LevelOf(text string) string {
	for _, m := range level.FindAllStringSubmatch(text, 4) {
		word := m[1]
		if word == "" {
			if word = m[2]; word != strings.ToUpper(word) {
				continue // a word of a sentence
			}
		}
		switch strings.ToLower(word) {
		case "trace", "debug":
			return "debug"
		case "info", "notice":
			return "info"
		case "warn", "warning":
			return "warning"
		}
		return "error"
	}
	return ""
}
