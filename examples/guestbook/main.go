// Command guestbook is a small web application: people leave a line, everyone reads them. It listens on $PORT and keeps
// its entries in $DATA_DIR when that can be written to, in memory when it cannot.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	if err := run(log); err != nil {
		log.Error("the guest book stopped", "error", err)
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	book, err := open(os.Getenv("DATA_DIR"))
	if err != nil {
		return err
	}
	log.Info("open", "entries", len(book.Entries()), "kept", book.Kept())
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: logged(log, handler(book)), ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Info("listening", "port", port)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Requests that are being answered get their answer.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	log.Info("closed")
	return nil
}
