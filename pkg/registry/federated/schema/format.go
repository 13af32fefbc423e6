package schema

import (
	"encoding/base64"
	"math"
)

// unfit says what a value that has the type must be by its format; empty if it is. Only
// formats are looked at that decide whether an API server can read the object at all: members
// cut an integer that does not fit, so that another number would run there.
func unfit(value any, format string) string {
	switch v := value.(type) {
	case int64:
		if format == "int32" && (v < math.MinInt32 || v > math.MaxInt32) {
			return "must be an integer of 32 bits, from -2147483648 to 2147483647"
		}
	case string:
		if format == "byte" {
			if _, err := base64.StdEncoding.DecodeString(v); err != nil {
				return "must be base64"
			}
		}
	}
	return ""
}
