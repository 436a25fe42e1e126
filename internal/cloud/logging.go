package cloud

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/sirupsen/logrus"
)

// quietLibraries sends what the libraries of containers, builds and the registry log by themselves to our log, where it
// is detail: their failures reach callers as errors.
func quietLibraries(log *slog.Logger) {
	logrus.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
	logrus.SetOutput(debugWriter{log})
}

type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Log(context.Background(), slog.LevelDebug, string(bytes.TrimSpace(p)), "from", "library")
	return len(p), nil
}
