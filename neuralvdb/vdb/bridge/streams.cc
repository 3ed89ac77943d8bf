#include "streams.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nvdb {
namespace {

// NO_FILE of platform.py.
constexpr const char* kNoFile = "a pipe, device or socket; save what it gives in a file first";

constexpr int64_t kPiece = 1 << 16;

} // namespace

InputBuffer::InputBuffer(const std::string& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), piece_(kPiece) { // a pipe is refused, not waited for
    struct stat info {};
    if (file_ < 0 || ::fstat(file_, &info) != 0) {
        const int code = errno;
        if (file_ >= 0) ::close(file_);
        throw SystemFailure(std::strerror(code), code);
    }
    if (!S_ISREG(info.st_mode)) {
        ::close(file_);
        const bool folder = S_ISDIR(info.st_mode);
        throw SystemFailure(folder ? std::strerror(EISDIR) : kNoFile, folder ? EISDIR : EINVAL);
    }
    size_ = int64_t(info.st_size);
    hold(0, 0);
}

InputBuffer::~InputBuffer() { ::close(file_); }

std::string InputBuffer::bytes(int64_t begin, int64_t end) const {
    std::string bytes(size_t(end - begin), '\0');
    read(&bytes[0], end - begin, begin);
    return bytes;
}

// OpenVDB checks few of its reads, so a short one must stop it here.
std::streamsize InputBuffer::xsgetn(char* to, std::streamsize count) {
    if (count < 0 || count > size_ - here()) throw endsEarly(here());
    const std::streamsize held = std::min<std::streamsize>(count, egptr() - gptr()), left = count - held;
    std::copy_n(gptr(), held, to);
    setg(eback(), gptr() + held, egptr());
    if (left >= kPiece) {
        const int64_t at = here();
        read(to + held, left, at);
        hold(at + left, 0);
    } else if (left > 0) {
        underflow();
        std::copy_n(gptr(), left, to + held);
        setg(eback(), gptr() + left, egptr());
    }
    return count;
}

InputBuffer::int_type InputBuffer::underflow() {
    if (gptr() == egptr()) {
        if (here() == size_) throw endsEarly(size_);
        hold(here(), std::min(kPiece, size_ - here()));
    }
    return traits_type::to_int_type(*gptr());
}

InputBuffer::pos_type InputBuffer::seekoff(off_type off, std::ios_base::seekdir dir, std::ios_base::openmode) {
    const int64_t base = dir == std::ios_base::beg ? 0 : dir == std::ios_base::cur ? here() : size_;
    if (off < -base || off > size_ - base) throw endsEarly(here());
    const int64_t to = base + off;
    if (to >= begin_ && to - begin_ <= egptr() - eback()) setg(eback(), eback() + (to - begin_), egptr());
    else hold(to, 0);
    return pos_type(to);
}

EndsEarly InputBuffer::endsEarly(int64_t at) const {
    return EndsEarly("it ends early: needed more at byte " + std::to_string(at) + " of " + std::to_string(size_));
}

void InputBuffer::read(char* to, int64_t count, int64_t at) const {
    while (count > 0) {
        const auto taken = ::pread(file_, to, size_t(count), off_t(at));
        if (taken < 0 && errno == EINTR) continue;
        if (taken < 0) throw SystemFailure(std::strerror(errno), errno);
        if (taken == 0) throw endsEarly(at); // it was cut since it was opened
        to += taken;
        at += taken;
        count -= taken;
    }
}

void InputBuffer::hold(int64_t at, int64_t count) {
    begin_ = at;
    setg(piece_.data(), piece_.data(), piece_.data()); // nothing, should the read fail
    read(piece_.data(), count, at);
    setg(piece_.data(), piece_.data(), piece_.data() + count);
}

FileBuffer::int_type FileBuffer::overflow(int_type next) {
    if (sync() != 0) return traits_type::eof();
    return traits_type::eq_int_type(next, traits_type::eof()) ? traits_type::not_eof(next) : sputc(char(next));
}

int FileBuffer::sync() {
    for (const char* at = pbase(); at != pptr();) {
        const auto written = ::write(file_, at, size_t(pptr() - at));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) code_ = errno;
        if (written <= 0) return -1;
        at += written;
    }
    empty();
    return 0;
}

bool FileBuffer::readBack(char* to, size_t count, int64_t at) {
    if (sync() != 0) return false;
    while (count > 0) {
        const auto taken = ::pread(file_, to, count, off_t(at));
        if (taken < 0 && errno == EINTR) continue;
        if (taken < 0) code_ = errno;
        if (taken <= 0) return false;
        to += taken;
        at += taken;
        count -= size_t(taken);
    }
    return true;
}

FileBuffer::pos_type FileBuffer::seekoff(off_type off, std::ios_base::seekdir dir, std::ios_base::openmode) {
    if (sync() != 0) return pos_type(off_type(-1));
    const int whence = dir == std::ios_base::beg ? SEEK_SET : dir == std::ios_base::cur ? SEEK_CUR : SEEK_END;
    return pos_type(::lseek(file_, off, whence));
}

} // namespace nvdb
