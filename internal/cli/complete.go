package cli

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// completeTime bounds a query made for the Tab key.
const completeTime = 2 * time.Second

type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// names completes with what exists of a kind, asked of the cloud.
func (s *session) names(k *kind.Desc, most int) completer {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return s.namesOf(cmd.Context(), k, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesOf gives nothing when the cloud cannot be asked: there is nobody to tell at the Tab key.
func (s *session) namesOf(ctx context.Context, k *kind.Desc, prefix string) []string {
	if k == nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	c, err := s.client()
	if err != nil {
		return nil
	}
	var page struct {
		Items []struct {
			ID, Name, State string
		} `json:"items"`
	}
	q := url.Values{"limit": {"1000"}}
	if prefix != "" && !k.AnyName {
		q.Set("name", prefix)
	}
	if c.Do(ctx, client.Request{Method: "GET", Path: s.collection(c, k), Query: q}, &page) != nil {
		return nil
	}
	var out []string
	for _, row := range page.Items {
		switch {
		case k.AnyName && strings.HasPrefix(row.ID, prefix):
			out = append(out, row.ID+"\t"+clean(row.Name))
		case !k.AnyName && strings.HasPrefix(row.Name, prefix):
			out = append(out, row.Name+"\t"+row.State)
		}
	}
	return out
}

// completeField offers what a field's flag may hold: its words, or what exists of the kind it refers to.
func (s *session) completeField(cmd *cobra.Command, f *fieldFlag) {
	item := f.field
	if item.Type == kind.ListOf && len(item.Item.Enum) > 0 {
		item = *item.Item
	}
	switch {
	case len(item.Enum) > 0:
		complete(cmd, f.flag, item.Enum...)
	case item.Type == kind.Boolean:
		complete(cmd, f.flag, "true", "false")
	case f.field.Ref != "":
		service, name, _ := strings.Cut(f.field.Ref, "/")
		_ = cmd.RegisterFlagCompletionFunc(f.flag, s.names(s.kindOf(service, name), 0)) // fails for an unknown flag only
	default:
		complete(cmd, f.flag)
	}
}
