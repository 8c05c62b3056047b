// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title EIP-712 digests and signatures by k of n, shared by the registries. Unaudited.
abstract contract Attested {
    /// @dev A compact signature (EIP-2098).
    struct Signature {
        bytes32 r;
        bytes32 vs;
    }

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private immutable NAME_HASH;
    bytes32 private constant VERSION_HASH = keccak256("1");

    /// Fewer signatures than the threshold, a signer that is not listed, or signers that are not in ascending order.
    error NotAttested();

    constructor(string memory name) {
        NAME_HASH = keccak256(bytes(name));
    }

    /// @notice The EIP-712 domain: it is computed anew in each call, so a fork of the chain has another.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    /// @dev Signers come in ascending order, so none counts twice.
    function _requireSigned(
        bytes32 digest,
        Signature[] calldata signatures,
        address[] calldata attesters,
        uint256 threshold
    ) internal pure {
        if (signatures.length < threshold) revert NotAttested();
        address last = address(0);
        uint256 place = 0;
        for (uint256 i; i < signatures.length; ++i) {
            address signer = _signer(digest, signatures[i]);
            if (signer <= last) revert NotAttested();
            last = signer;
            while (place < attesters.length && attesters[place] < signer) ++place;
            if (place == attesters.length || attesters[place] != signer) revert NotAttested();
        }
    }

    function _signer(bytes32 digest, Signature calldata signature) internal pure returns (address) {
        uint256 vs = uint256(signature.vs);
        return ecrecover(digest, uint8((vs >> 255) + 27), signature.r, bytes32(vs & (type(uint256).max >> 1)));
    }
}
