package shim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"golang.org/x/sys/unix"
)

// LogScheme in Stdout of a create request asks for the shim's own log: LogScheme + directory.
const LogScheme = "awan-log://"

// service is containerd's task service with the log writer put between the container's pipes and the files.
type service struct {
	taskapi.TTRPCTaskService
	mu   sync.Mutex
	logs map[string]*Logger
}

func newService(inner taskapi.TTRPCTaskService) *service {
	return &service{TTRPCTaskService: inner, logs: map[string]*Logger{}}
}

// Create swaps a log directory for two FIFOs that a Logger of this process reads.
func (s *service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	dir, ok := strings.CutPrefix(r.Stdout, LogScheme)
	if !ok {
		return s.TTRPCTaskService.Create(ctx, r)
	}
	logger, err := OpenLogger(dir)
	if err != nil {
		return nil, err
	}
	r.Stdout, r.Stderr = filepath.Join(r.Bundle, "stdout"), filepath.Join(r.Bundle, "stderr")
	for stream, path := range map[string]string{"stdout": r.Stdout, "stderr": r.Stderr} {
		f, err := openFIFO(path)
		if err != nil {
			logger.Close()
			return nil, fmt.Errorf("open the log's pipe: %w", err)
		}
		logger.Read(stream, f)
	}
	resp, err := s.TTRPCTaskService.Create(ctx, r)
	if err != nil {
		logger.Close()
		return nil, err
	}
	s.mu.Lock()
	s.logs[r.ID] = logger
	s.mu.Unlock()
	return resp, nil
}

// Delete waits until what the container last said is in the file.
func (s *service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	resp, err := s.TTRPCTaskService.Delete(ctx, r)
	if err != nil || r.ExecID != "" {
		return resp, err
	}
	s.mu.Lock()
	logger := s.logs[r.ID]
	delete(s.logs, r.ID)
	s.mu.Unlock()
	if logger != nil {
		logger.Drain(2 * time.Second)
		logger.Close()
	}
	return resp, nil
}

// openFIFO opens the reading end without waiting for a writer; reads then wait in the runtime's poller, not in a thread.
func openFIFO(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil && !os.IsExist(err) {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}
