package cellview

import (
	"mime"
	"net/http"
	"strings"
)

const (
	mediaJSON        = "application/json"
	mediaYAML        = "application/yaml"
	mediaApply       = "application/apply-patch+yaml"
	mediaJSONPatch   = "application/json-patch+json"
	mediaMergePatch  = "application/merge-patch+json"
	mediaStrategic   = "application/strategic-merge-patch+json"
	mediaAnything    = "*/*"
	mediaApplication = "application/*"
)

// accept returns what may be answered of what a client accepts: JSON, tables and partial
// metadata as JSON among it. Names in other encodings cannot be mapped. It returns "" if
// nothing is left.
func accept(headers []string) string {
	if len(headers) == 0 {
		return mediaJSON
	}
	var left []string
	for entry := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		media, parameters, _ := strings.Cut(strings.TrimSpace(entry), ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case mediaJSON, mediaAnything, mediaApplication, "":
			if parameters != "" {
				parameters = ";" + parameters
			}
			left = append(left, mediaJSON+parameters)
		}
	}
	return strings.Join(left, ",")
}

// asksForTable reports whether an answer may be a table.
func asksForTable(accepted string) bool {
	return strings.Contains(strings.ToLower(accepted), "as=table")
}

// bodyMedia returns the type of a body, as API servers read it: JSON if nothing is said.
func (v View) bodyMedia(header http.Header) (string, error) {
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return "", v.refuse(http.StatusUnsupportedMediaType, "takes no compressed bodies: the encoding is %q", encoding)
	}
	switch given := header.Values("Content-Type"); {
	case len(given) == 0 || given[0] == "" && len(given) == 1:
		return mediaJSON, nil
	case len(given) > 1:
		return "", v.bad("takes one Content-Type only")
	default:
		media, _, err := mime.ParseMediaType(given[0])
		if err != nil {
			return "", v.refuse(http.StatusUnsupportedMediaType, "cannot read the Content-Type %q: %v", given[0], err)
		}
		return media, nil
	}
}

// applies reports whether a request is a server-side apply: it makes what is not there.
func applies(r Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && r.Method == http.MethodPatch && media == mediaApply
}

// isUpgrade reports whether a client asks for another protocol: frames of it cannot be mapped.
func isUpgrade(header http.Header) bool {
	for _, value := range header.Values("Connection") {
		if strings.Contains(strings.ToLower(value), "upgrade") {
			return true
		}
	}
	return header.Get("Upgrade") != ""
}
