// Byte streams under OpenVDB's readers and writers: read-only streams over memory and over a file that throw at their
// end, so that no short read goes unnoticed, and a buffer that writes to an open file.
#pragma once

#include <cstdint>
#include <istream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <vector>

namespace nvdb {

// The bytes are not what their format allows. Becomes neuralvdb's DamagedFile in Python.
struct Damaged : std::runtime_error { using std::runtime_error::runtime_error; };

// The bytes are valid but need what this library does not have. Becomes Unsupported in Python.
struct Unsupported : std::runtime_error { using std::runtime_error::runtime_error; };

// The stream ends before its content does, or points outside itself.
struct EndsEarly : Damaged { using Damaged::Damaged; };

// The operating system refused; the message is complete, `code` is its errno.
struct SystemFailure : std::runtime_error {
    SystemFailure(const std::string& what, int code) : std::runtime_error(what), code(code) {}
    int code;
};

// A seekable view of `size` bytes at `data`, which must outlive it.
class MemoryBuffer : public std::streambuf {
public:
    MemoryBuffer(const char* data, size_t size) {
        char* begin = const_cast<char*>(data);
        setg(begin, begin, begin + size);
    }

protected:
    // OpenVDB checks few of its reads, so a short one must stop it here.
    std::streamsize xsgetn(char* to, std::streamsize count) override {
        if (count < 0 || count > egptr() - gptr()) throw EndsEarly(at());
        std::char_traits<char>::copy(to, gptr(), size_t(count));
        setg(eback(), gptr() + count, egptr());
        return count;
    }
    int_type underflow() override {
        if (gptr() == egptr()) throw EndsEarly(at());
        return traits_type::to_int_type(*gptr());
    }
    pos_type seekoff(off_type off, std::ios_base::seekdir dir, std::ios_base::openmode) override {
        const off_type size = egptr() - eback(), here = gptr() - eback();
        const off_type base = dir == std::ios_base::beg ? 0 : dir == std::ios_base::cur ? here : size;
        if (off < -base || off > size - base) throw EndsEarly(at());
        setg(eback(), eback() + base + off, egptr());
        return pos_type(base + off);
    }
    pos_type seekpos(pos_type pos, std::ios_base::openmode mode) override {
        return seekoff(off_type(pos), std::ios_base::beg, mode);
    }

private:
    std::string at() const {
        return "it ends early: needed more at byte " + std::to_string(gptr() - eback()) +
            " of " + std::to_string(egptr() - eback());
    }
};

// An istream over memory in which every failure is an exception.
class MemoryStream : private MemoryBuffer, public std::istream {
public:
    MemoryStream(const char* data, size_t size)
        : MemoryBuffer(data, size), std::istream(static_cast<MemoryBuffer*>(this)) {
        exceptions(std::ios_base::badbit | std::ios_base::failbit | std::ios_base::eofbit);
    }
};

// A seekable view of a file, read a piece at a time: a mapping would end the process with a signal where the file is cut
// meanwhile. Throws SystemFailure where it cannot be opened or read.
class InputBuffer : public std::streambuf {
public:
    explicit InputBuffer(const std::string& path);
    ~InputBuffer() override;
    InputBuffer(const InputBuffer&) = delete;
    InputBuffer& operator=(const InputBuffer&) = delete;
    size_t size() const { return size_t(size_); }
    std::string bytes(int64_t begin, int64_t end) const; // these must lie in the file
    void forget() { hold(here(), 0); }                   // what is read next is as the file is then

protected:
    std::streamsize xsgetn(char* to, std::streamsize count) override;
    int_type underflow() override;
    pos_type seekoff(off_type off, std::ios_base::seekdir dir, std::ios_base::openmode mode) override;
    pos_type seekpos(pos_type pos, std::ios_base::openmode mode) override {
        return seekoff(off_type(pos), std::ios_base::beg, mode);
    }

private:
    int64_t here() const { return begin_ + (gptr() - eback()); }
    EndsEarly endsEarly(int64_t at) const;
    void read(char* to, int64_t count, int64_t at) const;
    void hold(int64_t at, int64_t count); // that many bytes from there on

    int file_;
    int64_t size_ = 0, begin_ = 0; // where in the file the bytes begin that are held
    std::vector<char> piece_;
};

// An istream over a file in which every failure is an exception.
class InputStream : public std::istream {
public:
    explicit InputStream(InputBuffer& buffer) : std::istream(&buffer) {
        exceptions(std::ios_base::badbit | std::ios_base::failbit | std::ios_base::eofbit);
    }
};

// Holds what is written to it.
class StringBuffer : public std::streambuf {
public:
    std::string text;

protected:
    std::streamsize xsputn(const char* from, std::streamsize count) override {
        text.append(from, size_t(count));
        return count;
    }
    int_type overflow(int_type next) override {
        if (!traits_type::eq_int_type(next, traits_type::eof())) text.push_back(char(next));
        return traits_type::not_eof(next);
    }
};

// Writes to a file that somebody else opened and closes.
class FileBuffer : public std::streambuf {
public:
    explicit FileBuffer(int file) : file_(file), bytes_(1 << 20) { empty(); }
    int code() const { return code_; } // errno of what failed, 0 if nothing did
    bool readBack(char* to, size_t count, int64_t at); // what was written there; whether that went well

protected:
    int_type overflow(int_type next) override;
    int sync() override;
    pos_type seekoff(off_type off, std::ios_base::seekdir dir, std::ios_base::openmode mode) override;
    pos_type seekpos(pos_type pos, std::ios_base::openmode mode) override {
        return seekoff(off_type(pos), std::ios_base::beg, mode);
    }

private:
    void empty() { setp(bytes_.data(), bytes_.data() + bytes_.size()); }

    int file_;
    std::vector<char> bytes_;
    int code_ = 0;
};

} // namespace nvdb
