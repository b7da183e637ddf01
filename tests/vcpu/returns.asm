; SPDX-License-Identifier: GPL-2.0-or-later
; For test_returns.c: calls and returns of every kind. EAX: which; each ends with HLT.
	bits 32
	org 0x10000

%define FARM	  0x400000	; many blocks, then RET
%define PAGE	  0x500000	; CALL swap, then what differs between two frames, then RET
%define PAGE_PTE  (0x200000 + 0x10000 + (PAGE >> 12) * 4)
%define FRAMES	  (0x600000 ^ 0x700000)
%define SEL_CODE16 0x18

	jmp [table + eax * 4]
table:	dd deep, long_jump, elsewhere, unpaired, self_modifying, reuse, remapped, other_key, where_am_i

; ECX calls deep
deep:	mov esp, 0x300000
	call .sink
	hlt
.sink:	dec ecx
	jz .end
	call .sink
	inc ebx
.end:	ret

; Calls that do not return, ECX times
long_jump:
.again:	mov ebp, esp
	call .one
	ud2
.back:	mov esp, ebp
	dec ecx
	jnz .again
	hlt
.one:	call .two
	ud2
.two:	call .three
	ud2
.three:	jmp .back

; Returns behind the instruction that the call was before
elsewhere:
.again:	call .skip
	inc ebx
	inc edx
	dec ecx
	jnz .again
	hlt
.skip:	inc dword [esp]
	ret

; Returns without calls, from below what was called
unpaired:
.again:	call .in
	dec ecx
	jnz .again
	hlt
.in:	push .next
	ret
.next:	push .last
	inc ebx
	ret
.last:	inc ebx
	ret

; The called function writes the code that it returns to
self_modifying:
.again:	call .patch
.here:	mov eax, 1
	add ebx, eax
	dec ecx
	jnz .again
	hlt
.patch:	mov [.here + 1], cl
	ret

; More code than the cache holds, while two functions wait for it
reuse:
.again:	call .outer
	dec ecx
	jnz .again
	hlt
.outer:	call .inner
	inc ebx
	ret
.inner:	mov edx, FARM
	call edx
	inc ebx
	ret

; The called function maps other memory where it returns to, two times out of four; ESI: by loading
; CR3
remapped:
	mov edi, swap
.again:	mov edx, PAGE
	call edx
	dec ecx
	jnz .again
	hlt
swap:	test cl, 2
	jz .same
	xor dword [PAGE_PTE], FRAMES
	test esi, esi
	jz .one
	mov eax, cr3
	mov cr3, eax
	ret
.one:	invlpg [PAGE]
.same:	ret

; EBP: the return is 16-bit code's, where what it returns to is another instruction
other_key:
	call .in
	inc dx			; there: inc edx
	hlt
.in:	test ebp, ebp
	jnz .far
	ret
.far:	jmp SEL_CODE16:.in16
	bits 16
.in16:	o32 ret
	bits 32

; A call that asks for EIP only, within functions that return
where_am_i:
.again:	call .outer
	dec ecx
	jnz .again
	hlt
.outer:	call .inner
	ret
.inner:	call .here
.here:	pop eax
	sub eax, .here - 1
	add ebx, eax
	ret
