// Package app is the command line of koinon-ipam, for people: container runtimes call it as a plugin. Nothing in it is meant to be called concurrently.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "koinon-ipam",
		Short: "Keep the addresses of pods over reboots",
		Long: `Keep the addresses of pods over restarts of their sandboxes and of the node.

koinon-ipam is a CNI IPAM plugin: container runtimes call it where a network's configuration has
"ipam": {"type": "koinon-ipam"}, with what host-local would have beside it, and it calls host-local.
koinon-edgehub tells it which pods are gone. The commands below are for people.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	dir := cmd.PersistentFlags().String("state-dir", book.DefaultDir, "`directory` in which the reservations are: ipam.koinon.stateDir of the network's configuration")
	cmd.AddCommand(newListCommand(dir), newReleaseCommand(dir))
	commandline.Complete(cmd)
	return cmd
}

func newListCommand(dir *string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the addresses that are kept, and for whom",
		Long: `List the addresses that are kept, and for whom.

STATE is "used" if a sandbox has them now, and "kept" if none has. What is "gone" is given back when
the plugin is called next; "used, gone" when the sandbox has ended.`,
		Example: `  koinon-ipam list
  koinon-ipam list --output json | jq -r '.[] | select(.gone).name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := book.In(*dir).Reservations()
			if err != nil {
				return err
			}
			switch output {
			case "table":
				return table(cmd.OutOrStdout(), all)
			case "json":
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(append([]book.Reservation{}, all...)) // a list, of none too
			}
			return fmt.Errorf("--output %q: table and json are allowed", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func table(out io.Writer, all []book.Reservation) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NETWORK\tINTERFACE\tPOD\tUID\tADDRESSES\tSTATE")
	boot := book.Boot()
	for _, r := range all {
		pod := r.Namespace + "/" + r.Name
		if r.Name == "" {
			pod = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Network, r.Interface, pod, orNone(r.UID), orNone(words(r)), state(r, boot))
	}
	return w.Flush()
}

func words(r book.Reservation) string {
	var all []string
	for _, ip := range r.Addresses {
		all = append(all, ip.String())
	}
	return strings.Join(all, ",")
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func state(r book.Reservation, boot string) string {
	switch used := r.InUse(boot); {
	case used && r.Gone:
		return "used, gone"
	case used:
		return "used"
	case r.Gone:
		return "gone"
	}
	return "kept"
}

// releaseTimeout is how long to wait for calls of the plugin.
const releaseTimeout = 2 * time.Minute

func newReleaseCommand(dir *string) *cobra.Command {
	var pods string
	cmd := &cobra.Command{
		Use:   "release NAMESPACE/NAME... | --pods FILE",
		Short: "Say which pods are gone, so that their addresses are given back",
		Long: `Say which pods are gone, so that their addresses are given back.

With koinon-edgehub on the node nobody has to: it knows. By name, or with --pods all that are not in
a list of all pods of this node, or have ended. A list that may be a part, or has no pods, is refused.

The addresses are free for others when the plugin is called next, but not before the pod's sandbox
has ended. A pod that is there after all loses nothing while it runs.`,
		Example: `  koinon-ipam release shop/web-0
  kubectl get pods --all-namespaces --field-selector spec.nodeName=$(hostname) --output json | koinon-ipam release --pods -`,
		RunE: func(cmd *cobra.Command, names []string) error {
			gone, err := whatIsGone(cmd.InOrStdin(), pods, names)
			if err != nil {
				return err
			}
			return release(cmd, *dir, gone)
		},
	}
	cmd.Flags().StringVar(&pods, "pods", "", "`file` with all pods of this node, as kubectl get --output json prints them; - is the standard input")
	return cmd
}

func whatIsGone(in io.Reader, file string, names []string) (gone func(book.Reservation) bool, err error) {
	if (file == "") == (len(names) == 0) {
		return nil, errors.New("NAMESPACE/NAME of a pod is needed, or --pods FILE, and not both")
	}
	for _, name := range names {
		if namespace, pod, ok := strings.Cut(name, "/"); !ok || namespace == "" || pod == "" {
			return nil, fmt.Errorf("%q: NAMESPACE/NAME of a pod is needed", name)
		}
	}
	if file == "" {
		return func(r book.Reservation) bool { return r.Gone || slices.Contains(names, r.Namespace+"/"+r.Name) }, nil
	}
	var data []byte
	if file == "-" {
		data, err = io.ReadAll(in)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	all, err := book.ReadPods(data)
	if err != nil {
		return nil, fmt.Errorf("--pods %s: %w", file, err)
	}
	return book.Among(all), nil
}

func release(cmd *cobra.Command, dir string, gone func(book.Reservation) bool) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), releaseTimeout)
	defer cancel()
	released, err := book.In(dir).Release(ctx, gone)
	if err != nil {
		return err
	}
	for _, r := range released {
		fmt.Fprintf(cmd.OutOrStdout(), "%s/%s (%s): %s\n", r.Namespace, r.Name, r.UID, words(r))
	}
	if len(released) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "No pod was found to be gone that was not known to be")
	}
	return nil
}
