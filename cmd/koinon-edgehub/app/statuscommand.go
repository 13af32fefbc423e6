package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func newStatusCommand() *cobra.Command {
	var (
		at     = DefaultStatusAddress
		views  bool
		output string
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the hub of this node is",
		Long: `Say how the hub of this node is: which API servers answer, what is kept and how old it is, and what
waits to be written. It ends with 1 if somebody has to look at something, or if the hub does not run;
that the cloud is away is no such thing by itself.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("--output %q: json is allowed", output)
			}
			if err := validateAddress("--status-address", at, DefaultStatusAddress); err != nil {
				return err
			}
			r, err := fetchReport(cmd.Context(), at)
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				err = encoder.Encode(r)
			} else {
				err = r.print(cmd.OutOrStdout(), time.Now(), views)
			}
			if n := len(r.problems()); err == nil && n > 0 {
				return fmt.Errorf("%d to look at: see above", n)
			}
			return err
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&at, "status-address", at, "The `ADDRESS:PORT` of the hub's --status-address.")
	cmd.Flags().BoolVar(&views, "views", false, "List what is kept.")
	cmd.Flags().StringVarP(&output, "output", "o", "", "`FORMAT`: json is allowed; the default is for people.")
	return cmd
}

// fetchReport asks the hub.
func fetchReport(ctx context.Context, at string) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/status", nil)
	if err != nil {
		return nil, fmt.Errorf("--status-address %q: %w", at, err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("no hub answers at %s: %w; \"journalctl -u koinon-edgehub\" says why, if it is a service", at, err)
	}
	defer answer.Body.Close()
	var r Report
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<20)).Decode(&r); err != nil || answer.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("what answers at %s is no hub: %s", at, answer.Status), err)
	}
	return &r, nil
}

// print writes it for people.
func (r *Report) print(out io.Writer, now time.Time, views bool) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "Node:\t%s\n", r.Node)
	if r.Cluster != "" {
		fmt.Fprintf(w, "Cluster:\t%s\n", r.Cluster)
	}
	state := "connected"
	if !r.Available {
		state = "away: the node runs on what is kept"
	}
	fmt.Fprintf(w, "Cloud:\t%s\n", state)
	for _, s := range r.Servers {
		fmt.Fprintf(w, "API server:\t%s\n", s.words(now))
	}
	if !r.Certificate.Until.IsZero() {
		fmt.Fprintf(w, "Certificate:\tuntil %s\n", r.Certificate.Until.UTC().Format(time.RFC3339))
	}
	kubelet := "not seen since the hub was started"
	if !r.Kubelet.IsZero() {
		kubelet = fmt.Sprintf("seen %s ago", now.Sub(r.Kubelet).Round(time.Second))
	}
	fmt.Fprintf(w, "Kubelet:\t%s\n", kubelet)
	if r.Tunnel != nil {
		fmt.Fprintf(w, "Tunnel:\t%s\n", r.Tunnel.words())
	}
	complete, live, objects := 0, 0, 0
	for i := range r.Views {
		if r.Views[i].Complete {
			complete++
			objects += r.Views[i].Objects
		}
		if r.Views[i].Connected {
			live++
		}
	}
	fmt.Fprintf(w, "Kept:\t%d lists with %d objects, of which %d are followed now; %d KiB on disk\n", complete, objects, live, r.Disk.Bytes>>10)
	fmt.Fprintf(w, "To be written:\t%d\n", r.Queued)
	for _, problem := range r.problems() {
		fmt.Fprintf(w, "LOOK AT:\t%s\n", problem)
	}
	if views {
		fmt.Fprintf(w, "\nLIST\tOBJECTS\tVERSION\tSTATE\n")
		for i := range r.Views {
			v := &r.Views[i]
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", v.Name, v.Objects, v.Version, v.words(now))
		}
	}
	return w.Flush()
}

// words say how the tunnel is.
func (t *TunnelReport) words() string {
	switch {
	case t.Until.IsZero():
		return "not joined yet"
	case t.Links == 0:
		return "no server answers"
	}
	return fmt.Sprintf("links to servers: %d", t.Links)
}

// words say how a server is.
func (s *ServerReport) words(now time.Time) string {
	text := s.URL
	if s.Chosen {
		text += ", asked"
	}
	switch {
	case s.Healthy:
		text += fmt.Sprintf(", well for %s", now.Sub(s.Since).Round(time.Second))
	case s.Problem != "":
		text += fmt.Sprintf(", away for %s: %s", now.Sub(s.Since).Round(time.Second), s.Problem)
	default:
		text += ", not asked yet"
	}
	return text
}

// words say how a view is.
func (v *ViewReport) words(now time.Time) string {
	switch {
	case v.Connected && v.Complete:
		return "followed"
	case !v.Complete && v.Problem != "":
		return "unknown: " + v.Problem
	case !v.Complete:
		return "unknown"
	case !v.Filled:
		return "kept, nobody reads it now"
	case v.Heard.IsZero():
		return "kept, not heard of since the hub was started"
	}
	return fmt.Sprintf("kept, heard of %s ago", now.Sub(v.Heard).Round(time.Second))
}
