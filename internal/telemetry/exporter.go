package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Limits of what exporting may take.
const (
	spanQueue   = 8192             // spans; what ends while so many wait is dropped
	retryFor    = 10 * time.Second // a batch that the collector does not take is given up after this
	retryPause  = time.Second      // before the second try; doubles up to retryMax
	retryMax    = 5 * time.Second
	complaintIn = 30 * time.Second // between two log lines about a collector that does not answer
)

// about is what every span says of the process that it comes from; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win.
func about(cfg TraceConfig) (*resource.Resource, error) {
	own := []attribute.KeyValue{
		semconv.ServiceName("estorajed"),
		semconv.ServiceInstanceID(cfg.Node),
		semconv.ServiceVersion(cfg.Version),
	}
	if cfg.Cluster != "" {
		own = append(own, semconv.ServiceNamespace(cfg.Cluster))
	}
	if host, err := os.Hostname(); err == nil {
		own = append(own, semconv.HostName(host))
	}
	r, err := resource.Merge(resource.NewSchemaless(own...), resource.Environment())
	if err != nil && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}

// newExporter makes the exporter that flags and environment ask for; nil if they ask for none.
func newExporter(ctx context.Context, cfg TraceConfig) (sdktrace.SpanExporter, error) {
	if strings.EqualFold(strings.TrimSpace(cfg.Getenv("OTEL_SDK_DISABLED")), "true") || strings.TrimSpace(cfg.Getenv("OTEL_TRACES_EXPORTER")) == "none" {
		return nil, nil
	}
	setting, endpoint := first(cfg.Getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	whole := setting == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	if flag := strings.TrimSpace(cfg.Endpoint); flag != "" {
		setting, endpoint, whole = "-otlp-endpoint", flag, false
	}
	if endpoint == "" {
		return nil, nil
	}
	u, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s is %q: %w", setting, endpoint, err)
	}
	setting, protocol := first(cfg.Getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	switch protocol {
	case "", "http/protobuf":
		// "v1/traces is relative to the endpoint; an endpoint for traces alone is used as it is" (OTLP exporter specification)
		if !whole && !strings.HasSuffix(u.Path, "/v1/traces") {
			u = u.JoinPath("v1/traces")
		}
		return otlptrace.New(ctx, otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: retryPause, MaxInterval: retryMax, MaxElapsedTime: retryFor,
		})))
	case "grpc":
		return otlptrace.New(ctx, otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(u.String()), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: retryPause, MaxInterval: retryMax, MaxElapsedTime: retryFor,
		})))
	}
	return nil, fmt.Errorf("%s is %q; known are http/protobuf and grpc", setting, protocol)
}

// parseEndpoint takes a URL, or host:port for http.
func parseEndpoint(endpoint string) (*url.URL, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, errors.New("it must be a URL as in http://127.0.0.1:4318")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("it must begin with http:// or https:// and name a host")
	}
	return u, nil
}

// first gives the first of the names that is set, and what to.
func first(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}
