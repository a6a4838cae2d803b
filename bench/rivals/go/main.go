// Rival: a monolith on Go's net/http, of the standard library alone. It does what monolith.ts does.
package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
	"unicode/utf8"
)

const clientID = "SANDBOX_DEVELOPMENT"
const path = "/aps/api/v1/tokenActivationNotification"

func result(code, status, message string) string {
	return fmt.Sprintf(`{"result":{"resultCode":%q,"resultStatus":%q,"resultMessage":%q}}`, code, status, message)
}

var (
	success     = result("SUCCESS", "S", "Success")
	noInterface = result("NO_INTERFACE_DEF", "F", "API is not defined.")
	noClient    = result("INVALID_CLIENT", "F", "The client is invalid.")
	noSignature = result("INVALID_SIGNATURE", "F", "The signature is invalid.")
	noTime      = result("ACCESS_DENIED", "F", "Access is denied.")
	noParameter = result("PARAM_ILLEGAL", "F", "Illegal parameters exist.")
	conflict    = result("PROCESS_FAIL", "F", "A general business failure occurred. Don't retry.")
	unknown     = result("UNKNOWN_EXCEPTION", "U", "An API calling is failed, which is caused by unknown reasons.")
)

type activation struct {
	TokenReferenceID   string          `json:"tokenReferenceId"`
	CustomerID         *string         `json:"customerId,omitempty"`
	WalletID           *string         `json:"walletId,omitempty"`
	TokenRequestorID   *string         `json:"tokenRequestorId,omitempty"`
	SecureElementID    *string         `json:"secureElementId,omitempty"`
	AccountSource      *string         `json:"accountSource,omitempty"`
	ServiceRequestTime string          `json:"serviceRequestTime"`
	TokenActivatedTime string          `json:"tokenActivatedTime"`
	TokenData          json.RawMessage `json:"tokenData"`
}

var accountSources = map[string]bool{
	"ACCOUNT_ON_FILE": true, "ACCOUNT_ADDED_MANUALLY": true, "ACCOUNT_ADDED_VIA_APPLICATION": true,
	"EXISTING_TOKEN_CREDENTIAL": true, "ACCOUNT_ADDED_VIA_BROWSER": true, "ACCOUNT_ADDED_VIA_CHIP_DATA": true,
}

func fits(value *string, limit int) bool {
	return value == nil || (*value != "" && utf8.RuneCountInString(*value) <= limit)
}

func isInstant(text string) bool {
	_, err := time.Parse(time.RFC3339Nano, text)
	return err == nil
}

func (a *activation) holds() bool {
	return fits(&a.TokenReferenceID, 64) && fits(a.CustomerID, 64) && fits(a.WalletID, 16) &&
		fits(a.TokenRequestorID, 16) && fits(a.SecureElementID, 128) &&
		(a.AccountSource == nil || accountSources[*a.AccountSource]) &&
		isInstant(a.ServiceRequestTime) && isInstant(a.TokenActivatedTime) &&
		len(a.TokenData) > 2 && a.TokenData[0] == '{'
}

type monolith struct {
	theirKey *rsa.PublicKey
	ourKey   *rsa.PrivateKey
	redis    *redisClient
	memo     bool
	mutex    sync.Mutex
	signed   map[string]*signing
}

var signatureValue = regexp.MustCompile(`signature=([^,\s]+)`)

func (m *monolith) isSigned(header, requestTime string, body []byte) bool {
	found := signatureValue.FindStringSubmatch(header)
	if found == nil {
		return false
	}
	text, err := url.PathUnescape(found[1])
	if err != nil {
		return false
	}
	signature, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	hash := sha256.New()
	io.WriteString(hash, "POST "+path+"\n"+clientID+"."+requestTime+".")
	hash.Write(body)
	return rsa.VerifyPKCS1v15(m.theirKey, crypto.SHA256, hash.Sum(nil), signature) == nil
}

func partitionOf(reference string) uint32 {
	hash := uint32(0x811c9dc5)
	for i := 0; i < len(reference); i++ {
		hash = (hash ^ uint32(reference[i])) * 0x01000193
	}
	return hash % 16
}

func (m *monolith) resultOf(request *http.Request, body []byte) string {
	if request.URL.Path != path {
		return noInterface
	}
	if request.Header.Get("Client-Id") != clientID {
		return noClient
	}
	requestTime := request.Header.Get("Request-Time")
	if !m.isSigned(request.Header.Get("Signature"), requestTime, body) {
		return noSignature
	}
	at, err := time.Parse(time.RFC3339, requestTime)
	if age := time.Since(at); err != nil || age > 26*time.Hour || age < -5*time.Minute {
		return noTime
	}
	var a activation
	if !utf8.Valid(body) || json.Unmarshal(body, &a) != nil || !a.holds() {
		return noParameter
	}
	content, err := json.Marshal(&a)
	if err != nil {
		return noParameter
	}
	sum := sha256.Sum256(content)
	fingerprint := base64.StdEncoding.EncodeToString(sum[:])
	tag := fmt.Sprintf("{%d}", partitionOf(a.TokenReferenceID))
	event := `{"type":"ACTIVATED","tokenReferenceId":"` + a.TokenReferenceID + `","fingerprint":"` + fingerprint + `"}`
	outcome, err := m.redis.call("EVALSHA", m.redis.script, "2", "token:"+tag+":"+a.TokenReferenceID, "events:"+tag,
		fingerprint, string(content), event, "100000")
	switch {
	case err != nil:
		return unknown
	case outcome == "conflict":
		return conflict
	default:
		return success
	}
}

type signing struct {
	done  chan struct{}
	value string
}

func (m *monolith) sign(text string) string {
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, m.ourKey, crypto.SHA256, sum[:])
	if err != nil {
		return ""
	}
	return "algorithm=RSA256,keyVersion=1,signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
}

// signOnce signs equal texts once; callers of a text that is being signed wait for that one signature.
func (m *monolith) signOnce(text string) string {
	m.mutex.Lock()
	known := m.signed[text]
	if known != nil {
		m.mutex.Unlock()
		<-known.done
		return known.value
	}
	if len(m.signed) >= 1024 {
		m.signed = map[string]*signing{}
	}
	mine := &signing{done: make(chan struct{})}
	m.signed[text] = mine
	m.mutex.Unlock()
	mine.value = m.sign(text)
	close(mine.done)
	return mine.value
}

func (m *monolith) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	body := make([]byte, max(request.ContentLength, 0))
	if _, err := io.ReadFull(request.Body, body); err != nil {
		return
	}
	text := m.resultOf(request, body)
	at := time.Now().UTC().Format("2006-01-02T15:04:05Z")
	content := request.Method + " " + request.URL.Path + "\n" + clientID + "." + at + "." + text
	header := response.Header()
	header["Content-Type"] = []string{"application/json; charset=UTF-8"}
	header["Response-Time"] = []string{at}
	header["Client-Id"] = []string{clientID}
	if m.memo {
		header["Signature"] = []string{m.signOnce(content)}
	} else {
		header["Signature"] = []string{m.sign(content)}
	}
	io.WriteString(response, text)
}

func max(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func pemIn(file string) []byte {
	text := must(os.ReadFile(file))
	block, _ := pem.Decode(text[bytes.Index(text, []byte("-----BEGIN")):])
	return block.Bytes
}

func main() {
	folder := filepath.Join(os.Getenv("KEYS_DIR"), clientID)
	theirs := must(x509.ParsePKIXPublicKey(pemIn(filepath.Join(folder, "alipayplus.1.public.pem"))))
	ours := must(x509.ParsePKCS8PrivateKey(pemIn(filepath.Join(folder, "own.1.private.pem"))))
	handler := &monolith{
		theirKey: theirs.(*rsa.PublicKey),
		ourKey:   ours.(*rsa.PrivateKey),
		redis:    must(dial(os.Getenv("REDIS_SOCKET"))),
		memo:     os.Getenv("MEMO") == "true",
		signed:   map[string]*signing{},
	}
	script := must(os.ReadFile(os.Getenv("RECORD_LUA")))
	handler.redis.script = must(handler.redis.call("SCRIPT", "LOAD", string(script)))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Println("ready http://" + listener.Addr().String())
	must(0, http.Serve(listener, handler))
}
