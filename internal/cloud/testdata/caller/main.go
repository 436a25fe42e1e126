// Caller answers with its own name and what the component in CALLS answers, and passes the lane of the request on.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		text, next := os.Getenv("NAME"), os.Getenv("CALLS")
		if lane := r.Header.Get("X-Awan-Lane"); lane != "" {
			text += " in " + lane
		}
		if next != "" {
			req, err := http.NewRequestWithContext(r.Context(), "GET", next, nil)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			req.Header.Set("X-Awan-Lane", r.Header.Get("X-Awan-Lane"))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK {
				http.Error(w, fmt.Sprintf("%s %s %v", resp.Status, b, err), http.StatusBadGateway)
				return
			}
			text += " > " + string(b)
		}
		_, _ = io.WriteString(w, text)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+os.Getenv("PORT"), nil))
	os.Exit(1)
}
